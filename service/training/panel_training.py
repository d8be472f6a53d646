"""From the user's own series to a model: tries the plan's recipes, measures the best, judges it, fits it to the end."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.metrics import score
from service.domain.normalization import normalize
from service.domain.recipes.recipe import Recipe
from service.domain.recipes.training_plan import TrainingPlan
from service.domain.series import Missing
from service.errors import TrainingFailed
from service.networks.network import Network
from service.store.catalog import Catalog
from service.training.calibration import calibrate
from service.training.data.panel_split import PreparedPanel, ScoredWindows, prepare_panel
from service.training.epoch import Epoch
from service.training.fits import FitOutcome, Fits, Part
from service.training.panel_fit import (
    Fitted,
    PanelWindows,
    assemble_known,
    combine,
    fit_panel,
    forecast_windows,
    make_further_tasks,
    make_tasks,
    score_baselines,
    settle,
)
from service.training.progress import REFIT_SHARE, ProgressReporter, refit_epochs
from service.training.promotion import judge
from service.training.season_selection import choose_seasons
from service.training.training_result import TrainingResult
from service.training.tuning import tune
from service.training.window_scores import choose_metric, measure_windows, summarize

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

# What a chosen fit goes on with: what came before the test, and all there is.
_AGAIN: tuple[Part, ...] = ("test", "end")
# What validation says over one horizon of one series may be luck by this share; over many, by this over the root of
# their number.
LUCK_OF_ONE_HORIZON = 0.3
# A linear kind joins the others where that gains this share; of few horizons, where it may.
GAIN_OF_JOINING = 0.02
LINEAR = "ridge"
# A member leaves the ensemble only where that gains this share, and more than luck. The months that validate are the
# same for all series, and with them a part of the luck: so much was seen to be wrong with 756 series.
LEAST_GAIN = 0.05
PROOF_SERIES = 8
# Of a window, in units of its series' seasonal naive error.
MOST_ERROR = 20.0


def train_on_panel(
    plan: TrainingPlan, values: list[Array], catalog: Catalog, fits: Fits, reporter: ProgressReporter
) -> TrainingResult:
    """Fits, chooses, measures, judges, and goes on with all points.

    Raises:
        TrainingFailed: the series are too short, or a fit gives no finite numbers.
    """
    data = plan.recipes[0].own_data
    missing: Missing = "interpolate" if data is None else data.missing
    prepared = prepare_panel(values, plan.recipes[0], missing)
    settled = choose_seasons(plan, prepared)
    if settled.recipes != plan.recipes:
        prepared = prepare_panel(values, settled.recipes[0], missing)
        reporter.replace(settled)
    plan = settled
    windows = PanelWindows(prepared, plan.recipes[0])
    best = _search(plan, windows, fits, reporter)
    recipe = best.recipe
    baselines = score_baselines(recipe, prepared)
    is_judged = not recipe.preset.is_baseline
    gate = judge(plan.name, best, prepared, recipe.season, catalog) if is_judged else None
    measured = None
    if recipe.refit:
        measured = [weights for network in best.networks for weights in network.get_weights()]
        # What is tested knows all that came before the test, as what is published will know all there is. Both from
        # the same start: to go on from what was tested would fit the older points once more.
        tasks = [task for before in _AGAIN for task in make_further_tasks(best, windows, before)]
        outcomes = fits.run_all(tasks, windows, reporter.epoch)
        tested_with, published_with = outcomes[: len(best.networks)], outcomes[len(best.networks) :]
        _give(tested_with, best.networks)
    metrics: dict[str, Any] = {"validation": _score(prepared.validation, best.validation)}
    tested = np.zeros((0, prepared.horizon))
    if len(prepared.test):
        tested = forecast_windows(recipe, best.networks, prepared, prepared.test)
    # Of a gap as long as the test only validation tells how far forecasts are off.
    honest = best.validation if best.cross_weighed is None else best.cross_weighed
    calibration, covered = calibrate(recipe, prepared, honest, tested)
    if len(prepared.test):
        metrics["test"] = {**_score(prepared.test, tested), "coverage": covered}
    metrics["baselines"] = baselines
    if measured is not None:
        _give(published_with, best.networks)
    return TrainingResult(
        recipe,
        best.networks,
        metrics,
        {
            **plan.recipes[0].to_dict()["data"],
            "n_windows": int(np.maximum(prepared.split.train_ends - recipe.horizon - recipe.min_history + 1, 0).sum()),
            "season": recipe.season,
        },
        len(best.epochs),
        _proof_series(recipe, prepared),
        calibration,
        gate,
        measured,
    )


def _give(outcomes: Sequence[FitOutcome], networks: Sequence[Network]) -> None:
    for outcome, network in zip(outcomes, networks, strict=True):
        outcome.give_to(network)


def _search(plan: TrainingPlan, windows: PanelWindows, fits: Fits, reporter: ProgressReporter) -> Fitted:
    """The plan's best by validation: of trials, or of recipes and what they make together."""
    if plan.search is None:
        return choose_fits(_try_all(plan, windows, fits, reporter), windows.prepared, plan.name)

    def fit_one(recipe: Recipe, on_epoch: Callable[[Epoch], None]) -> tuple[Fitted, float]:
        fitted = fit_panel(recipe, windows, fits, on_epoch)
        return fitted, _loss([fitted], windows.prepared)

    return tune(plan.search, plan.recipes[0], fit_one, reporter, fits)


def _try_all(plan: TrainingPlan, windows: PanelWindows, fits: Fits, reporter: ProgressReporter) -> list[Fitted]:
    """Fits the plan's recipes, as many as there is time for; one at least."""
    prepared = windows.prepared
    recipes = [settle(recipe, prepared) for recipe in plan.recipes]
    by_recipe = [make_tasks(recipe) for recipe in recipes]
    # Which recipe each task is of.
    owners = [i for i, tasks in enumerate(by_recipe) for _ in tasks]
    refused: set[int] = set()

    def may_begin(index: int, outcomes: Sequence[FitOutcome | None]) -> bool:
        owner = owners[index]
        is_first = index == owners.index(owner)
        if is_first and plan.max_seconds is not None and by_recipe[owner][0].is_work:
            seconds = np.zeros(len(recipes))
            for i, outcome in zip(owners, outcomes, strict=True):
                seconds[i] += 0.0 if outcome is None else outcome.seconds
            # What is left must hold another fit and, of all that may be chosen, the end; both go the faster the more
            # processes there are.
            elapsed = fits.clock.elapsed()
            ending = 2 * REFIT_SHARE * min(float(seconds.sum()), elapsed)
            is_any = any(outcome is not None and outcome.is_finite for outcome in outcomes)
            if is_any and elapsed + seconds.max() + ending > plan.max_seconds:
                refused.add(owner)
        return owner not in refused

    tasks = [task for tasks in by_recipe for task in tasks]

    def on_missing(index: int, is_refused: bool) -> None:
        if is_refused:
            refused.add(owners[index])
        recipe = tasks[index].recipe
        reporter.skip(recipe.epochs + (2 * refit_epochs(recipe.epochs) if recipe.refit else 0))

    outcomes = fits.run(tasks, windows, reporter.epoch, may_begin, on_missing)
    found: list[Fitted] = []
    for i, recipe in enumerate(recipes):
        own = [outcome for owner, outcome in zip(owners, outcomes, strict=True) if owner == i]
        fitted = assemble_known(recipe, own, prepared)
        if fitted is None:
            continue
        if np.isfinite(fitted.validation).all():
            found.append(fitted)
        logger.info(
            "%s: validates at %.4f after %.1f s", recipe.architecture, _loss([fitted], prepared), fitted.seconds
        )
    if not found:
        if fits.left_out:
            raise TrainingFailed(fits.left_out[0].reason)
        raise TrainingFailed("The training diverged: its forecasts are not finite. Try a lower learning_rate.")
    return found


def choose_fits(fits: Sequence[Fitted], prepared: PreparedPanel, name: str) -> Fitted:
    """All fits as one ensemble but for those without which it validates better; or one kind or fit alone, if better.

    To begin with all, and not with the best, keeps the luck of few validation windows out of the choice.
    """
    luck = LUCK_OF_ONE_HORIZON * _doubt(prepared.validation)
    chosen = [fitted for fitted in fits if fitted.recipe.architecture != LINEAR] or list(fits)
    if _loss(fits, prepared) < _loss(chosen, prepared) * (1 - GAIN_OF_JOINING + luck):
        chosen = list(fits)
    needed = 1 - LEAST_GAIN - luck
    loss = _loss(chosen, prepared)
    while len(chosen) > 1:
        kinds = {fitted.recipe.architecture for fitted in chosen}
        fewer = [[other for other in chosen if other is not fitted] for fitted in chosen]
        fewer += [
            [fitted for fitted in chosen if fitted.recipe.architecture != kind] for kind in kinds if len(kinds) > 1
        ]
        losses = [_loss(others, prepared) for others in fewer]
        if min(losses) > loss * needed:
            break
        loss = min(losses)
        chosen = fewer[losses.index(loss)]
    alone = min(fits, key=lambda fitted: _measure(fitted.validation, prepared))
    if _measure(alone.validation, prepared) < loss * needed:
        chosen = [alone]
    if len(chosen) == 1:
        return chosen[0]
    cross_weighed = np.empty_like(chosen[0].validation)
    for block, others in split_windows(prepared.validation):
        weights = weigh_fits(chosen, prepared, others)
        cross_weighed[block] = np.average([fitted.validation[block] for fitted in chosen], axis=0, weights=weights)
    return combine(chosen, weigh_fits(chosen, prepared), name, cross_weighed)


def split_windows(windows: ScoredWindows) -> list[tuple[Rows, Rows]]:
    """Windows in two blocks, each with windows of the other one: the older and the newer origins of every series.

    With a block come those of the other one that share no target with it, or, of a long horizon, all. Of series with
    one origin each every other one is a block; of a single window both are it.
    """
    newest = np.zeros(windows.series.max() + 1, np.int64)
    np.maximum.at(newest, windows.series, windows.ends)
    ages = newest[windows.series] - windows.ends
    is_old = ages > np.median(ages) if ages.any() else np.arange(len(windows)) % 2 == 1
    old, new = np.flatnonzero(is_old), np.flatnonzero(~is_old)
    if not len(old):
        return [(new, new)]
    horizon = windows.actual.shape[1] if ages.any() else 0
    older = old[ages[old] >= ages[new].max() + horizon]
    newer = new[ages[new] + horizon <= ages[old].min()]
    return [(new, older if len(older) else old), (old, newer if len(newer) else new)]


def weigh_fits(fits: Sequence[Fitted], prepared: PreparedPanel, rows: Rows | None = None) -> list[float]:
    """The weights of fits in their mean, which add up to one; by all validation windows, or some rows of them.

    A kind's weight is the inverse square of what the mean of its fits errs on validation, the one of J. Bates and
    C. Granger, "The Combination of Forecasts", 1969; or, where that is one horizon of one series, as much as another
    kind's; or between. Kinds are architectures, so that the weight of one does not grow with the number of its fits.
    """
    kinds: dict[str, list[Fitted]] = {}
    for fitted in fits:
        kinds.setdefault(fitted.recipe.architecture, []).append(fitted)
    errors = np.array(
        [_measure(np.mean([fitted.validation for fitted in alike], axis=0), prepared, rows) for alike in kinds.values()]
    )
    # Relative to the best, which may err by nothing, or by more than can be counted.
    is_best = errors == errors.min()
    squares = np.where(is_best, 1.0, (errors.min() / np.where(is_best, 1.0, errors)) ** 2)
    doubt = _doubt(prepared.validation if rows is None else prepared.validation.take(rows))
    shares = doubt / len(kinds) + (1 - doubt) * squares / squares.sum()
    of_kind = dict(zip(kinds, shares, strict=True))
    return [float(of_kind[kind := fitted.recipe.architecture] / len(kinds[kind])) for fitted in fits]


def _doubt(windows: ScoredWindows) -> float:
    """How far what the windows say may be luck: one over the root of the horizons that they hold side by side.

    Many origins of one series look at the same points.
    """
    _, first = np.unique(windows.series, return_index=True)
    last = np.append(first[1:], len(windows)) - 1
    horizon = windows.actual.shape[1]
    return float(1 / np.sqrt(len(first) + (windows.ends[last] - windows.ends[first]).sum() / horizon))


def _score(windows: ScoredWindows, forecasts: Array) -> dict[str, Any]:
    return score(windows.actual, forecasts, windows.scale)


def _loss(fits: Sequence[Fitted], prepared: PreparedPanel) -> float:
    forecasts = np.average([fitted.validation for fitted in fits], axis=0, weights=weigh_fits(fits, prepared))
    return _measure(forecasts, prepared)


def _measure(forecasts: Array, prepared: PreparedPanel, rows: Rows | None = None) -> float:
    """What validation, or some rows of it, says of forecasts [n, horizon]; infinity where they are not finite.

    No window counts as more than `MOST_ERROR`: what nobody could forecast is not to hide what kinds differ by.
    """
    metric = choose_metric(prepared)
    errors = measure_windows(prepared.validation, forecasts, metric)
    if not np.isfinite(forecasts).all():
        return float("inf")
    if rows is not None and not np.isnan(errors[rows]).all():
        errors = errors[rows]
    errors = errors[~np.isnan(errors)]
    if metric != "mae":
        errors = np.minimum(errors, MOST_ERROR**2 if metric == "rmsse" else MOST_ERROR)
    return summarize(errors, metric)


def _proof_series(recipe: Recipe, prepared: PreparedPanel) -> list[NDArray[np.float32]]:
    """The newest points of a few series, of the window's length and of a shorter odd one."""
    rows = prepared.rows
    longest = min(recipe.longest_window, int(rows.lengths.max()))
    found = []
    for length in sorted({longest, max(recipe.min_length, longest // 2 + 1)}):
        series = np.flatnonzero(rows.lengths >= length)[:PROOF_SERIES]
        inputs, _ = normalize(
            rows.inputs(series, rows.lengths[series], length), np.full(len(series), length), recipe.equivariance
        )
        found.append(inputs)
    return found
