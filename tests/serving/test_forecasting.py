"""The use case, on real SavedModels: any mixture of series, alone and together, many callers at once."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engines.loaders import make_loader
from service.errors import InvalidRequest, QueueFull
from service.serving.batcher import Batcher
from service.serving.forecast_plan import ForecastRequest
from service.serving.forecast_work import split_rows
from service.serving.forecasting import Forecast, Forecasting, ForecastLimits
from service.serving.preprocess import PreparedSeries
from service.serving.registry import Registry
from service.store.catalog import Catalog
from tests.serving.models import KINDS

T = TypeVar("T")

LIMITS = ForecastLimits(max_horizon=1000, max_answer_values=100_000, max_series_length=2000)
VALUES = st.lists(st.floats(-1000, 1000, width=32, allow_subnormal=False), min_size=4, max_size=60)


@asynccontextmanager
async def opened(root: Path, limits: ForecastLimits = LIMITS, limit: int = 10_000) -> AsyncIterator[Forecasting]:
    catalog = Catalog(root)
    registry = Registry(catalog, make_loader("auto"), max_loaded=10)
    batcher = Batcher(limit=limit, threads=2)
    await registry.open()
    try:
        yield Forecasting(registry, batcher, limits)
    finally:
        await batcher.close()
        await registry.close()


class Runner:
    """One event loop with an open Forecasting, for tests that are not coroutines."""

    def __init__(self, root: Path) -> None:
        self._runner = asyncio.Runner()
        self._opened = opened(root)
        self.forecasting = self._runner.run(self._opened.__aenter__())

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def main() -> T:
            return await work()

        return self._runner.run(main())

    def forecast(self, series: Any, **fields: Any) -> Forecast:
        return self.run(lambda: self.forecasting.answer(series, ForecastRequest(**fields)))

    def close(self) -> None:
        self._runner.run(self._opened.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(scope="module")
def runner(stored_kinds: Path) -> Any:
    runner = Runner(stored_kinds)
    yield runner
    runner.close()


def values_of(forecast: Forecast) -> list[list[float]]:
    answers = []
    for one in forecast.series:
        assert one.values is not None, one.flaw
        answers.append([float(value) for value in one.values])
    return answers


def codes_of(error: InvalidRequest) -> list[tuple[str, str]]:
    return [(flaw.pointer, flaw.code) for flaw in error.flaws]


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("horizon", [1, 2, 10, 37])
@settings(max_examples=15, deadline=None)
@given(rows=st.lists(VALUES, min_size=1, max_size=12))
def test_a_series_alone_and_in_any_batch_gets_the_same_numbers_in_order(
    runner: Runner, model: str, horizon: int, rows: list[list[float]]
) -> None:
    together = values_of(runner.forecast(rows, model=model, horizon=horizon))
    alone = [values_of(runner.forecast(row, model=model, horizon=horizon))[0] for row in rows]
    for row, batched, single in zip(rows, together, alone, strict=True):
        kind = KINDS[model]
        expected = kind.expected(row[-kind.window :] if kind.window else row, horizon)
        scale = max(1.0, max(map(abs, row)))
        assert batched == pytest.approx(expected, abs=1e-5 * scale)
        assert single == pytest.approx(batched, abs=1e-5 * scale)


def test_thousands_of_callers_at_once_get_their_own_answers(runner: Runner) -> None:
    numbers = random.Random(3)
    requests: list[tuple[str, int, list[list[float]]]] = []
    for i in range(3000):
        rows = [[float(i)] * numbers.randint(4, 30) for _ in range(numbers.choice([1, 1, 1, 2, 5]))]
        requests.append((numbers.choice(list(KINDS)), numbers.choice([1, 3, 12]), rows))

    async def ask_all() -> list[Forecast]:
        return await asyncio.gather(
            *(
                runner.forecasting.answer(rows, ForecastRequest(model=model, horizon=horizon))
                for model, horizon, rows in requests
            )
        )

    for (model, horizon, rows), forecast in zip(requests, runner.run(ask_all), strict=True):
        assert forecast.model == model
        for row, values in zip(rows, values_of(forecast), strict=True):
            assert values == pytest.approx(KINDS[model].expected(row, horizon), rel=1e-5)


def test_a_request_of_thousands_of_ragged_series_keeps_their_order(runner: Runner) -> None:
    rows = [[float(i)] * (4 + i % 90) for i in range(3000)]
    values = values_of(runner.forecast(rows, model="whole"))
    assert values == [pytest.approx(KINDS["whole"].expected(row), rel=1e-5) for row in rows]


def test_a_part_of_a_large_request_is_about_one_engine_call() -> None:
    rows = [
        PreparedSeries(str(i), f"/series/{i}", np.zeros(n, np.float32))
        for i, n in enumerate([50] * 300 + [100_000] * 5)
    ]
    parts = list(split_rows([*rows, PreparedSeries("bad", "/series/305")]))
    assert [row.id for part in parts for row in part] == [*map(str, range(305)), "bad"]
    assert [len(part) for part in parts] == [128, 128, 46, 2, 2]


def test_one_bad_series_does_not_fail_its_neighbours(runner: Runner) -> None:
    forecast = runner.forecast([[1, 2, 3, 4], [1, 2], [None, None], [], [1, 2, 3, 1e39], [5, 6, 7, 8]], model="whole")
    flaws = [one.flaw and (one.flaw.pointer, one.flaw.code) for one in forecast.series]
    assert flaws == [
        None,
        ("/series/1", "too_short"),
        ("/series/2", "all_null"),
        ("/series/3", "empty"),
        ("/series/4/3", "out_of_range"),
        None,
    ]
    assert [one.id for one in forecast.series] == ["0", "1", "2", "3", "4", "5"]
    last = forecast.series[5].values
    assert last is not None
    assert list(last) == pytest.approx(KINDS["whole"].expected([5, 6, 7, 8]), rel=1e-5)


def test_when_all_series_are_bad_the_request_is(runner: Runner) -> None:
    with pytest.raises(InvalidRequest) as caught:
        runner.forecast([[1, 2], [None]], model="whole")
    assert codes_of(caught.value) == [("/series/0", "too_short"), ("/series/1", "all_null")]


def test_a_forecast_that_leaves_float32_is_told_and_not_sent(runner: Runner) -> None:
    huge = [3e38] * 5
    forecast = runner.forecast([huge, [1.0] * 5], model="lstm")
    assert forecast.series[0].flaw is not None
    assert forecast.series[0].flaw.code == "out_of_range"
    assert forecast.series[1].values is not None


def test_forecasts_whose_sum_would_overflow_are_forecasts_all_the_same(runner: Runner) -> None:
    huge = [5e37] * 8
    forecast = runner.forecast([huge, huge], model="lstm")
    assert [one.flaw for one in forecast.series] == [None, None]
    assert values_of(forecast)[0] == pytest.approx([5e37] * 10)


def test_the_last_window_is_all_that_a_scaled_model_reads(runner: Runner) -> None:
    recent = [float(i) for i in range(50)]
    assert values_of(runner.forecast([1e6, *recent], model="lstm")) == values_of(runner.forecast(recent, model="lstm"))


@pytest.mark.parametrize(
    ("fields", "mode", "horizon", "rolled_out"),
    [
        ({"model": "lstm"}, "sequence", 10, False),
        ({"model": "lstm", "horizon": 3}, "sequence", 3, False),
        ({"model": "lstm", "horizon": 11}, "sequence", 11, True),
        ({"model": "lstm", "mode": "vector"}, "vector", 10, False),
        ({"model": "vector"}, "vector", 3, False),
        ({"model": "stepwise"}, "one_step", 1, False),
        ({"model": "stepwise", "horizon": 1}, "one_step", 1, False),
        ({"model": "stepwise", "horizon": 5}, "autoregressive", 5, True),
        ({"model": "stepwise", "mode": "autoregressive"}, "autoregressive", 10, True),
        ({"model": "stepwise", "mode": "autoregressive", "horizon": 1}, "autoregressive", 1, False),
    ],
)
def test_mode_and_horizon_are_settled_by_the_head(
    runner: Runner, fields: dict[str, Any], mode: str, horizon: int, rolled_out: bool
) -> None:
    forecast = runner.forecast([1.0, 2.0, 3.0, 4.0, 5.0], **fields)
    assert (forecast.plan.mode, forecast.plan.horizon, forecast.plan.rolled_out) == (mode, horizon, rolled_out)
    assert len(values_of(forecast)[0]) == horizon


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"model": "lstm", "mode": "one_step"}, "/mode", "mode_not_available"),
        ({"model": "vector", "mode": "sequence"}, "/mode", "mode_not_available"),
        ({"model": "stepwise", "mode": "vector"}, "/mode", "mode_not_available"),
        ({"model": "stepwise", "mode": "one_step", "horizon": 2}, "/horizon", "horizon_not_available"),
        ({"model": "lstm", "horizon": 0}, "/horizon", "horizon_out_of_bounds"),
        ({"model": "lstm", "horizon": 1001}, "/horizon", "horizon_out_of_bounds"),
        ({"model": "vector", "all_steps": True}, "/all_steps", "all_steps_not_available"),
        ({"model": "lstm", "mode": "vector", "all_steps": True}, "/all_steps", "all_steps_not_available"),
        ({"model": "lstm", "level": (80.0,)}, "/level", "level_not_calibrated"),
        ({"model": "lstm", "freq": "D"}, "/start", "missing_field"),
        ({"model": "lstm", "start": "2026-01-01"}, "/freq", "missing_field"),
    ],
)
def test_what_a_model_has_not_is_refused_by_name(
    runner: Runner, fields: dict[str, Any], pointer: str, code: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        runner.forecast([1.0, 2.0, 3.0, 4.0], **fields)
    assert codes_of(caught.value) == [(pointer, code)]


@pytest.mark.parametrize("horizon", [2, 4, 9])
def test_all_steps_ends_with_the_forecast_and_holds_only_a_series_own_steps(runner: Runner, horizon: int) -> None:
    rows = [[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0, 0.0, 1.0]]
    forecast = runner.forecast(rows, model="whole", horizon=horizon, all_steps=True)
    kind = KINDS["whole"]
    for row, one in zip(rows, forecast.series, strict=True):
        assert one.sequence is not None
        assert one.sequence.shape == (len(row), min(horizon, kind.horizon))
        for end, step in enumerate(one.sequence, start=1):
            assert list(step) == pytest.approx(kind.expected(row[:end], min(horizon, kind.horizon)), rel=1e-5)
        assert one.values is not None
        assert list(one.values) == pytest.approx(kind.expected(row, horizon), rel=1e-5)


def test_timestamps_follow_the_last_posted_point(runner: Runner) -> None:
    series = [
        {"id": "a", "values": [1, 2, 3, 4]},
        {"id": "b", "values": [None, 1, 2, 3, 4, None], "start": "2026-03-01"},
        {"id": "c", "values": [1, 2, 3, 4], "start": "yesterday"},
    ]
    forecast = runner.forecast(series, model="whole", horizon=2, freq="D", start="2026-01-01")
    assert forecast.series[0].timestamps == ["2026-01-05", "2026-01-06"]
    assert forecast.series[1].timestamps == ["2026-03-06", "2026-03-07"]
    assert [one.starts_after for one in forecast.series] == [None, 4, None]
    assert forecast.series[2].flaw is not None
    assert forecast.series[2].flaw.pointer == "/series/2/start"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [({"freq": "fortnight", "start": "2026-01-01"}, "/freq"), ({"freq": "D", "start": "yesterday"}, "/start")],
)
def test_a_shared_calendar_that_is_wrong_fails_the_request(
    runner: Runner, fields: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        runner.forecast([[1, 2, 3, 4], [1]], model="whole", **fields)
    assert [flaw.pointer for flaw in caught.value.flaws] == [pointer]


def test_time_stamps_count_as_what_they_take_in_an_answer(runner: Runner) -> None:
    def records(count: int) -> list[dict[str, Any]]:
        days = np.datetime64("2024-01-01") + np.arange(count)
        return [{"id": day, "values": [1, 2, 3, 4], "start": day} for day in np.datetime_as_string(days).tolist()]

    assert runner.forecast(records(20), model="whole", horizon=1000, freq="D").n_forecasts == 20
    with pytest.raises(InvalidRequest) as caught:
        runner.forecast(records(21), model="whole", horizon=1000, freq="D")
    assert codes_of(caught.value) == [("/series", "answer_too_large")]


def test_a_large_request_is_answered_as_its_series_are_alone(runner: Runner) -> None:
    days = np.datetime_as_string(np.datetime64("2024-01-01") + np.arange(1500)).tolist()
    series = [
        {"id": day, "values": [0.1 * i % 7, 2, 3, 4, None][: 4 + i % 2], "start": day} for i, day in enumerate(days)
    ]
    series[700]["values"] = []
    many = runner.forecast(series, model="whole", horizon=3, freq="D")
    assert (many.is_large, many.n_forecasts) == (True, 1499)
    assert [one.id for one in many.series] == days
    for i in (0, 127, 128, 1023, 1499):
        alone = runner.forecast([series[i]], model="whole", horizon=3, freq="D")
        assert not alone.is_large
        assert alone.series[0].timestamps == many.series[i].timestamps
        values = many.series[i].values
        assert values is not None
        assert np.allclose(values_of(alone)[0], values, rtol=1e-5)
    assert many.series[700].flaw is not None


def test_an_answer_that_would_not_fit_is_refused_before_it_is_computed(runner: Runner) -> None:
    with pytest.raises(InvalidRequest) as caught:
        runner.forecast([[1, 2, 3, 4]] * 101, model="whole", horizon=1000)
    assert codes_of(caught.value) == [("/series", "answer_too_large")]
    assert len(values_of(runner.forecast([[1, 2, 3, 4]] * 100, model="whole", horizon=1000))) == 100


def test_a_series_that_is_read_whole_has_a_longest_length(runner: Runner) -> None:
    forecast = runner.forecast([[1.0] * 2001, [1.0] * 2000], model="whole")
    assert forecast.series[0].flaw is not None
    assert forecast.series[0].flaw.code == "too_long"
    assert forecast.series[1].values is not None
    assert len(values_of(runner.forecast([1.0] * 5000, model="lstm"))[0]) == 10


def test_a_full_queue_refuses_and_serves_again_when_it_has_emptied(stored_kinds: Path) -> None:
    async def main() -> None:
        async with opened(stored_kinds, limit=5) as forecasting:
            posted, request = [1.0, 2.0, 3.0, 4.0], ForecastRequest(model="whole")
            await forecasting.answer(posted, request)
            asked = (forecasting.answer(posted, request) for _ in range(50))
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            refused = [outcome for outcome in outcomes if isinstance(outcome, QueueFull)]
            assert refused
            assert refused[0].retry_after_seconds >= 1
            served = [outcome for outcome in outcomes if isinstance(outcome, Forecast)]
            assert len(served) + len(refused) == 50
            assert len(served) >= 5
            assert np.isfinite(values_of(await forecasting.answer(posted, request))[0]).all()

    asyncio.run(main())
