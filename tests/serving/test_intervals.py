"""Prediction intervals of forecasts, from the residuals that a version was calibrated with."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from service.domain.intervals import half_widths, measure_spread
from service.errors import InvalidRequest
from service.serving.postprocess import SeriesForecast
from tests.serving.models import Kind, add_version
from tests.serving.test_forecasting import Runner

RESIDUALS = [[step * rank / 10 for rank in range(1, 31)] for step in (1, 2, 3)]
SERIES = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0, 5.0, 8.0]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    root = tmp_path_factory.mktemp("calibrated")
    kind = Kind(head="vector", horizon=3, memory=2, min_length=2, window=10)
    add_version(root, "calibrated", kind, calibration={"season": 4, "window": 10, "residuals": RESIDUALS})
    one = Runner(root)
    yield one
    one.close()


def only(runner: Runner, series: list[float], **fields: object) -> SeriesForecast:
    return runner.forecast(series, model="calibrated", **fields).series[0]


def test_an_interval_is_the_forecast_and_a_quantile_of_the_residuals_times_the_spread(runner: Runner) -> None:
    one = only(runner, SERIES, level=(80.0,))
    assert one.values is not None
    assert one.intervals is not None
    lower, upper = one.intervals["80"]
    width = half_widths(RESIDUALS, 80, 3) * measure_spread(np.array(SERIES), 4, 10).unit
    assert np.allclose(lower, one.values - width)
    assert np.allclose(upper, one.values + width)


def test_levels_nest_and_widths_follow_the_scale_of_the_series(runner: Runner) -> None:
    levels = (50.0, 80.0, 92.5)
    small = only(runner, SERIES, level=levels)
    large = only(runner, [1000 * value for value in SERIES], level=levels)
    assert small.intervals is not None
    assert large.intervals is not None
    assert list(small.intervals) == ["50", "80", "92.5"]
    widths = [upper - lower for lower, upper in small.intervals.values()]
    assert all((inner <= outer).all() for inner, outer in pairwise(widths))
    for level, (lower, upper) in large.intervals.items():
        inner_lower, inner_upper = small.intervals[level]
        assert np.allclose(upper - lower, 1000 * (inner_upper - inner_lower), rtol=1e-4)


STILL = {"season": 4, "window": 10, "residuals": RESIDUALS, "still_residuals": [[0.0, 0.0, 0.0, 0.5]] * 3}


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A model of demand that was never negative, calibrated with some series that had stopped."""
    root = tmp_path_factory.mktemp("sparse")
    kind = Kind(head="vector", horizon=3, memory=2, min_length=2, window=10)
    add_version(root, "calibrated", kind, calibration={**STILL, "non_negative": True})
    one = Runner(root)
    yield one
    one.close()


def test_a_series_that_has_stopped_has_the_intervals_of_such_series(sparse: Runner) -> None:
    stopped = [*SERIES, *SERIES, *[0.0] * 30]
    unit = measure_spread(np.array(stopped), 4, 10).unit
    one = only(sparse, stopped, level=(50.0, 80.0))
    assert one.intervals is not None
    assert one.values is not None
    assert np.allclose(one.intervals["50"][1], one.values)
    assert np.allclose(one.intervals["80"][1], one.values + 0.5 * unit)
    # Its own four bear no more than 80 %: then the others'.
    high = only(sparse, stopped, level=(90.0,)).intervals
    assert high is not None
    assert np.allclose(high["90"][1], one.values + half_widths(RESIDUALS, 90, 3) * unit)


def test_intervals_of_what_was_never_negative_end_at_zero(sparse: Runner) -> None:
    lower, upper = (only(sparse, SERIES, level=(80.0,)).intervals or {})["80"]
    assert (lower == 0).all()
    assert (upper > 0).all()
    below = only(sparse, [-1.0, *SERIES], level=(80.0,)).intervals
    assert below is not None
    assert (below["80"][0] < 0).all()


def test_fewer_steps_than_the_models_own_have_their_own_widths(runner: Runner) -> None:
    whole = only(runner, SERIES, level=(80.0,))
    part = only(runner, SERIES, level=(80.0,), horizon=2)
    assert whole.intervals is not None
    assert part.intervals is not None
    assert np.allclose(part.intervals["80"][1], whole.intervals["80"][1][:2])


@pytest.mark.parametrize(("level", "horizon", "says"), [(98.0, 3, "at most"), (80.0, 4, "calibrated for 3 steps")])
def test_what_the_residuals_do_not_bear_is_refused_with_the_limit(
    runner: Runner, level: float, horizon: int, says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        only(runner, SERIES, level=(level,), horizon=horizon)
    assert caught.value.flaws[0].code == "level_not_calibrated"
