"""The time of each stage of a forecast, measured in process with the functions that serve it.

Microseconds, the fastest of many batches, for one series of 50 points and for a bulk of 1,000, LSTM. The rest is what
the request pays for between the stages: the middleware, the event loop, and caches that each stage finds cold.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

POINTS = 50


def print_stages(store: Path, machine: str) -> None:
    """Prints the table."""
    os.environ["OUTFIELDER_MODELS_STORE"] = str(store)
    os.environ["OUTFIELDER_STATE_DIR"] = str(store.parent / "state")
    columns = [asyncio.run(_measure(n, batches)) for n, batches in ((1, 60), (1000, 15))]
    print(f"\n### Where the time goes, LSTM, in process, microseconds ({machine})\n")
    print("| stage | one series | bulk of 1,000 |\n|---|---|---|")
    for stage in columns[0]:
        print(f"| {stage} | {columns[0][stage]:,.0f} | {columns[1][stage]:,.0f} |")


async def _measure(n: int, batches: int) -> dict[str, float]:
    from service.api.json_response import json_response
    from service.api.json_series import find_series
    from service.api.schemas.forecast import read_asked, to_json
    from service.api.strict_json import parse_json
    from service.app import build_app
    from service.domain.series import split
    from service.serving.engine_call import MAX_ROWS
    from service.serving.forecast_calendar import ForecastCalendar
    from service.serving.forecast_plan import make_forecast_plan
    from service.serving.forecasting import Forecast
    from service.serving.postprocess import assemble
    from service.serving.preprocess import PreparedSeries, prepare_series
    from service.settings import Settings

    app = build_app(Settings())
    rng = np.random.default_rng(0)
    series = rng.normal(size=(n, POINTS)).round(4).tolist()
    text = json.dumps({"model": "lstm", "series": series[0] if n == 1 else series}).encode()

    def parse() -> Any:
        """The series of the text, as the application finds them in one of this size."""
        if n == 1:
            return split(parse_json(text)["series"])
        found = find_series(text)
        assert found is not None
        return [one for part in found[1] for one in part]

    found: dict[str, float] = {}
    async with app.router.lifespan_context(app):
        services = app.state.services
        manifest = await services.registry.resolve("lstm", None)
        engine = await services.registry.engine(manifest)
        request = read_asked({"model": "lstm"}).request
        plan = make_forecast_plan(request, manifest, max_horizon=1000)
        posted = parse()

        def read() -> list[PreparedSeries]:
            calendar = ForecastCalendar(request, None, plan.horizon)
            return prepare_series(posted, request, manifest, calendar, max_length=10**6)

        rows = read()
        values = np.stack([row.values for row in rows if row.values is not None])
        lengths = np.full(n, POINTS, np.int32)
        answers = list(engine.forecast(values, lengths))
        forecasts = assemble(rows, answers, None, plan)
        answer = Forecast("lstm", 1, plan, forecasts, n, False, 0.0, 0.0)

        async def whole() -> None:
            await _ask(app, text)

        async def compute() -> None:
            for first in range(0, n, MAX_ROWS):
                engine.forecast(values[first : first + MAX_ROWS], lengths[first : first + MAX_ROWS])

        stages: dict[str, Callable[[], Awaitable[object]]] = {
            "parse the JSON (bulk: into arrays)": _as_async(parse),
            "check its fields": _as_async(lambda: read_asked({"model": "lstm"})),
            "settle mode and horizon": _as_async(lambda: make_forecast_plan(request, manifest, max_horizon=1000)),
            "check the series": _as_async(read),
            "the model's arithmetic, one thread": compute,
            "join answers and series": _as_async(lambda: assemble(rows, answers, None, plan)),
            "write the JSON": _as_async(lambda: json_response(to_json(answer))),
            "a request in the application": whole,
        }
        for stage, call in stages.items():
            found[stage] = await _fastest(call, batches, 100 if n == 1 else 3)
    total = found.pop("a request in the application")
    found["middleware, queue, event loop, cold caches"] = total - sum(found.values()) if n == 1 else 0.0
    found["**a request in the application**"] = total
    return found


def _as_async(call: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def run() -> object:
        return call()

    return run


async def _fastest(call: Callable[[], Awaitable[object]], batches: int, times: int) -> float:
    """Microseconds."""
    await call()
    best = float("inf")
    for _ in range(batches):
        started = time.perf_counter()
        for _ in range(times):
            await call()
        best = min(best, time.perf_counter() - started)
    return best / times * 1e6


async def _ask(app: Any, text: bytes) -> None:
    """One request to the application, without a socket."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/forecast",
        "raw_path": b"/forecast",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    messages = [{"type": "http.request", "body": text, "more_body": False}]
    status = 0

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    if status != 200:
        raise RuntimeError(f"the application answered {status}")
