import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.domain.splits import ENOUGH_ORIGINS, split

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=30).map(lambda values: np.array(values, dtype=np.int64))


@given(LENGTHS, st.integers(1, 24), st.integers(1, 24))
def test_no_validation_or_test_target_is_seen_in_training_and_no_test_target_in_validation(
    lengths: np.ndarray, horizon: int, min_history: int
) -> None:
    cut = split(lengths, horizon, min_history)
    tests = dict(zip(*cut.test, strict=True))
    for series, end in zip(*cut.validation, strict=True):
        assert end >= min_history
        assert cut.train_ends[series] <= end
        assert end + horizon <= tests[series]
    for series, end in tests.items():
        assert end + horizon == lengths[series]
        assert end >= min_history
        assert cut.train_ends[series] <= end
    assert (cut.train_ends >= 0).all()
    trainable = lengths >= min_history + 3 * horizon
    assert (cut.train_ends[trainable] >= min_history + horizon).all()


def test_a_single_series_is_validated_at_several_origins_of_its_last_fifth() -> None:
    cut = split(np.array([3696]), 336, 672)
    assert len(cut.validation[0]) == ENOUGH_ORIGINS
    assert cut.validation[1][-1] + 336 == cut.test[1][0]
    # Two horizons apart, the first and the last don't share their luck.
    assert cut.validation[1][-1] - cut.validation[1][0] == 739
    assert set(np.diff(cut.validation[1])) == {7, 8}
    assert cut.train_ends.tolist() == [cut.validation[1][0]]
    short = split(np.array([100]), 10, 10)
    assert short.validation[1].tolist() == list(range(60, 81))


def test_origins_of_few_series_are_a_horizon_apart_at_most() -> None:
    cut = split(np.full(50, 400), 12, 24)
    assert cut.validation[1].tolist() == [364, 376] * 50


def test_many_series_are_validated_at_one_origin_each() -> None:
    cut = split(np.full(500, 60), 12, 24)
    assert cut.validation[1].tolist() == [36] * 500
    assert cut.train_ends.tolist() == [36] * 500
