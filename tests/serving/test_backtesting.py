"""Backtests on real SavedModels, against the same forecasts in plain Python."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.domain.intervals import half_widths, measure_spread
from service.engines.loaders import make_loader
from service.errors import InvalidRequest
from service.serving import backtest_plan
from service.serving.backtest_plan import BacktestRequest, read_backtest_data
from service.serving.backtesting import Backtesting
from service.serving.batcher import Batcher
from service.serving.forecasting import ForecastLimits
from service.serving.interval_widths import find_half_widths
from service.serving.registry import Registry
from service.store.catalog import Catalog
from tests.serving.models import KINDS, Kind, add_version

LIMITS = ForecastLimits(max_horizon=1000, max_answer_values=100_000, max_series_length=2000)
RNG = np.random.default_rng(0)
MONTHLY = [float(100 + t + 20 * np.sin(t * np.pi / 6) + noise) for t, noise in enumerate(RNG.standard_normal(60))]


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[Backtesting]:
    catalog = Catalog(root)
    registry = Registry(catalog, make_loader("auto"), max_loaded=10)
    batcher = Batcher(limit=10, threads=2)
    await registry.open()
    try:
        yield Backtesting(registry, batcher, LIMITS)
    finally:
        await batcher.close()
        await registry.close()


def run(root: Path, posted: Any, *, freq: str | None = None, **fields: Any) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        async with opened(root) as backtesting:
            prepared = await backtesting.prepare(BacktestRequest(**fields), read_backtest_data(posted, freq))
            return await backtesting.run(prepared)

    return asyncio.run(main())


def flaws_of(root: Path, posted: Any, **fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        run(root, posted, **fields)
    return [(flaw.pointer, flaw.code) for flaw in caught.value.flaws]


def errors(values: list[float], kind: Kind, horizon: int, windows: int, step: int) -> np.ndarray:
    """Of the kind's own forecasts at the last origins; [windows, horizon]."""
    origins = [len(values) - horizon - window * step for window in range(windows)]
    return np.array([np.subtract(kind.expected(values[:at], horizon), values[at : at + horizon]) for at in origins])


@pytest.mark.parametrize(
    ("model", "horizon", "rolled_out"),
    [("lstm", 6, False), ("lstm", 14, True), ("whole", 4, False), ("stepwise", 5, True), ("vector", 3, False)],
)
def test_scores_are_those_of_the_models_own_forecasts(
    stored_kinds: Path, model: str, horizon: int, rolled_out: bool
) -> None:
    answer = run(stored_kinds, MONTHLY, model=model, horizon=horizon, windows=4, step=2, season=12)
    expected = errors(MONTHLY, KINDS[model], horizon, 4, 2)
    scores = answer["overall"]["model"]
    assert scores["mae"] == pytest.approx(np.abs(expected).mean(), rel=1e-5)
    assert scores["mse"] == pytest.approx(np.square(expected).mean(), rel=1e-5)
    assert scores["rmse"] == pytest.approx(np.sqrt(np.square(expected).mean()), rel=1e-5)
    history = np.array(MONTHLY[: 60 - horizon - 6])
    scale = np.abs(history[12:] - history[:-12]).mean()
    assert scores["mase"] == pytest.approx(np.abs(expected).mean() / scale, rel=1e-5)
    assert answer["series"] == [{"id": "0", **answer["overall"]}]
    assert list(answer["overall"]) == ["model", "naive", "seasonal_naive", "linear"]
    assert (answer["horizon"], answer["windows"], answer["step"], answer["season"]) == (horizon, 4, 2, 12)
    assert answer["left_out"] == {}


def test_the_horizon_is_the_models_own_and_the_season_that_of_the_model_or_the_frequency(
    stored_kinds: Path, tmp_path: Path
) -> None:
    assert run(stored_kinds, MONTHLY, model="lstm")["horizon"] == 10
    assert run(stored_kinds, MONTHLY, model="stepwise")["horizon"] == 1
    assert run(stored_kinds, MONTHLY, model="lstm")["season"] == 1
    assert run(stored_kinds, MONTHLY, freq="MS", model="lstm")["season"] == 12
    add_version(tmp_path, "seasonal", Kind(), data={"kind": "series", "season": 6})
    assert run(tmp_path, MONTHLY, freq="MS", model="seasonal")["season"] == 6
    assert run(tmp_path, MONTHLY, freq="MS", model="seasonal", season=4)["season"] == 4


def test_a_bad_series_is_told_and_its_neighbours_are_measured(tmp_path: Path) -> None:
    add_version(tmp_path, "m", Kind(bias=3e38, min_length=4, horizon=4))
    posted = {"short": MONTHLY[:9], "good": MONTHLY, "empty": [], "wide": [3e38] * 20, "enough": MONTHLY[:10]}
    answer = run(tmp_path, posted, model="m")
    assert [one["id"] for one in answer["series"]] == list(posted)
    found = [one.get("error", {}).get("code") for one in answer["series"]]
    assert found == ["too_short", None, "empty", "out_of_range", None]
    assert answer["series"][0]["error"]["pointer"] == "/series/short"
    assert "at least 10 points" in answer["series"][0]["error"]["message"]
    good = run(tmp_path, {name: posted[name] for name in ("good", "enough")}, model="m")
    assert [answer["series"][i] for i in (1, 4)] == good["series"]
    assert answer["overall"] == good["overall"]


@pytest.mark.parametrize(
    ("posted", "fields", "found"),
    [
        ([1, 2, 3], {}, [("/series", "too_short")]),
        ([[1, 2, 3], [None]], {}, [("/series/0", "too_short"), ("/series/1", "all_null")]),
        ([{"id": "a", "values": [1]}], {}, [("/series/0/values", "too_short")]),
        ({"a/b": [1]}, {}, [("/series/a~1b", "too_short")]),
        ([1.0] * 3000, {}, [("/series", "too_long")]),
        (MONTHLY, {"horizon": 0}, [("/horizon", "horizon_out_of_bounds")]),
        (MONTHLY, {"horizon": 1001}, [("/horizon", "horizon_out_of_bounds")]),
        (MONTHLY, {"level": (80.0,)}, [("/level", "level_not_calibrated")]),
        ([1, "2"], {}, [("/series/1", "wrong_type")]),
    ],
)
def test_what_can_not_be_measured_is_refused(
    stored_kinds: Path, posted: Any, fields: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    assert flaws_of(stored_kinds, posted, model="whole", **fields) == found


def test_too_many_series_are_refused(stored_kinds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest_plan, "MAX_SERIES", 2)
    assert flaws_of(stored_kinds, [MONTHLY] * 3, model="whole") == [("/series", "too_many_series")]
    assert len(run(stored_kinds, [MONTHLY] * 2, model="whole")["series"]) == 2


def test_many_series_are_measured_in_parts_as_if_at_once(stored_kinds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    posted = [MONTHLY[start : start + 20 + start] for start in range(20)]
    whole = run(stored_kinds, posted, model="whole", windows=5)
    for name, value in (("PART_ROWS", 10), ("PART_POINTS", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(backtest_plan, name, value)
            parts = run(stored_kinds, posted, model="whole", windows=5)
        assert parts.keys() == whole.keys()
        for ours, theirs in zip(parts["series"], whole["series"], strict=True):
            assert ours["model"] == pytest.approx(theirs["model"], rel=1e-5)
            assert ours["linear"] == theirs["linear"]


def test_missing_values_are_filled_before_an_origin_and_do_not_count_after_it(stored_kinds: Path) -> None:
    values: list[float | None] = [None, *MONTHLY[1:]]
    values[-2] = None
    values[-3] = None
    answer = run(stored_kinds, values, model="whole", horizon=2, windows=2)
    kind = KINDS["whole"]
    before = MONTHLY[1:-3]
    # The last origin comes behind the first of two missing points: the last known value stands for it.
    expected = [kind.expected(before, 2), kind.expected([*before, before[-1]], 2)]
    # Of the three points after the first origin only the last is known, and only the second window holds it.
    assert answer["overall"]["model"]["mae"] == pytest.approx(abs(expected[1][1] - MONTHLY[-1]), rel=1e-5)
    assert flaws_of(stored_kinds, values, model="whole", missing="error") == [("/series/0", "missing_value")]


def test_a_baseline_that_can_not_be_fitted_is_left_out_with_the_reason(stored_kinds: Path) -> None:
    answer = run(stored_kinds, MONTHLY[:12], model="whole", horizon=4, windows=3)
    assert list(answer["overall"]) == ["model", "naive", "seasonal_naive"]
    assert "windows" in answer["left_out"]["linear"]
    assert answer["overall"]["seasonal_naive"] == answer["overall"]["naive"]
    assert run(stored_kinds, [5.0] * 60, model="whole")["overall"]["naive"]["mase"] is None


def test_coverage_is_that_of_the_forecast_plus_and_minus_widths_in_spreads(tmp_path: Path) -> None:
    residuals = np.sort(RNG.random((6, 50)) * 10, axis=1)
    kind = Kind(window=40)
    add_version(tmp_path, "m", kind, calibration={"season": 12, "window": 30, "residuals": residuals.tolist()})
    found = run(tmp_path, {"a": MONTHLY, "short": MONTHLY[:21]}, model="m", horizon=6, windows=8, level=(50.0, 97.5))
    coverages = []
    for values, one in zip((MONTHLY, MONTHLY[:21]), found["series"], strict=True):
        error = np.abs(errors(values, kind, 6, 8, 1))
        histories = [np.array(values[: len(values) - 6 - window]) for window in range(8)]
        spreads = np.array([[measure_spread(history, 12, 30).unit] for history in histories])
        expected = {
            level: 100 * (error <= spreads * half_widths(residuals, float(level), 6)).mean() for level in ("50", "97.5")
        }
        assert one["model"]["coverage"] == pytest.approx(expected)
        assert 0 < expected["50"] < expected["97.5"]
        assert "coverage" not in one["naive"]
        coverages.append(expected["50"])
    assert found["overall"]["model"]["coverage"]["50"] == pytest.approx(np.mean(coverages))
    with pytest.raises(InvalidRequest, match="calibrated for 6 steps"):
        run(tmp_path, MONTHLY, model="m", horizon=7, level=(80.0,))


def calibrated(n_steps: int, n_residuals: int) -> Any:
    residuals = [list(range(1, n_residuals + 1))] * n_steps
    return SimpleNamespace(name="m", version=2, is_zero_shot=False, calibration={"season": 12, "residuals": residuals})


def test_levels_are_borne_by_as_many_residuals_as_they_need() -> None:
    widths = find_half_widths(calibrated(3, 39), (80.0, 97.5), 2)
    assert {level: list(values.moving) for level, values in widths.items()} == {"80": [32, 32], "97.5": [39, 39]}
    assert find_half_widths(calibrated(0, 0), (), 5) == {}


@pytest.mark.parametrize(
    ("levels", "horizon", "words"), [((50.0, 98.0), 2, "at most 97.5 %"), ((80.0,), 4, "calibrated for 3 steps")]
)
def test_a_level_or_horizon_beyond_the_residuals_is_refused_with_the_limit(
    levels: tuple[float, ...], horizon: int, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        find_half_widths(calibrated(3, 39), levels, horizon)
    assert [(flaw.pointer, flaw.code) for flaw in caught.value.flaws] == [("/level", "level_not_calibrated")]
