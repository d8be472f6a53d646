"""When trials end early."""

import math

import optuna
from hypothesis import given
from hypothesis import strategies as st

from service.training.median_rule import EPOCHS_BEFORE_PRUNING, TRIALS_BEFORE_PRUNING, is_above, make_bounds

LOSSES = st.one_of(st.floats(0, 10), st.integers(0, 4).map(float), st.just(math.nan), st.just(math.inf))
HISTORY = st.lists(LOSSES, min_size=1, max_size=8)


@given(histories=st.lists(HISTORY, max_size=9), losses=HISTORY)
def test_a_trial_ends_at_the_epoch_at_which_optunas_median_pruner_ends_it(
    histories: list[list[float]], losses: list[float]
) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(TRIALS_BEFORE_PRUNING, EPOCHS_BEFORE_PRUNING))
    for history in histories:
        before = study.ask()
        for epoch, loss in enumerate(history, start=1):
            if math.isfinite(loss):
                before.report(loss, epoch)
        study.tell(before, 1.0)
    trial = study.ask()
    # With an epoch to come after the last one here: at its very last a trial is complete.
    bounds = make_bounds(histories, len(losses) + 1)
    for epoch, loss in enumerate(losses, start=1):
        is_pruned = False
        if math.isfinite(loss):
            trial.report(loss, epoch)
            is_pruned = trial.should_prune()
        assert is_above(losses[:epoch], bounds) == is_pruned


def test_a_trial_that_has_come_to_its_last_epoch_is_complete() -> None:
    bounds = make_bounds([[1.0] * 5] * 4, n_epochs=5)
    assert bounds == (None, None, 1.0, 1.0)
    assert is_above([2.0] * 4, bounds)
    assert not is_above([2.0] * 5, bounds)


def test_it_is_the_best_so_far_that_is_measured_by_the_others_at_the_same_epoch() -> None:
    bounds = make_bounds([[5.0, 4.0, 3.0, 2.0]] * 2 + [[5.0, 4.0, 1.0, 6.0]] * 2, n_epochs=9)
    assert bounds[:5] == (None, None, 2.0, 4.0, None)
    assert not is_above([1.9, 7.0, 7.0], bounds)
    assert is_above([2.1, 7.0, 7.0], bounds)
    assert not is_above([2.1, 7.0, 7.0, 7.0], bounds)


def test_the_first_trials_have_no_bounds() -> None:
    assert make_bounds([[1.0] * 5] * (TRIALS_BEFORE_PRUNING - 1), n_epochs=5) == ()
    assert not is_above([9.0] * 4, ())
