"""Forecasts without training, measured through the public API: `make bench-zero-shot`.

Accuracy on competition and load series, where nothing but `series` and `freq` is posted; kinds of series that everybody
can combine; and speed. Theta and AutoETS (statsforecast) run in an environment of their own, in the same run.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import LEVELS, Case, Row, Series, load, measure, peers, seasonal_naive, serving, to_json
from benchmarks.machine import describe_machine
from benchmarks.serving.asking import begin, finish, run_wrk
from benchmarks.serving.load import Load
from benchmarks.zero_shot.kinds import HORIZON, compare, draw_kinds
from service.cli.first_run import load_air_passengers
from service.domain.metrics import coverage

Array = NDArray[np.float64]

NAN = float("nan")
CASES = (
    Case("m1-monthly", "M1 monthly", "MS", 12, 18, NAN, NAN),
    Case("m1-quarterly", "M1 quarterly", "QS", 4, 8, NAN, NAN),
    Case("m1-yearly", "M1 yearly", "YS", 1, 6, NAN, NAN),
    Case("m3-monthly", "M3 monthly", "MS", 12, 18, 0.86, 0.83),
    Case("m3-quarterly", "M3 quarterly", "QS", 4, 8, 1.11, 1.06),
    Case("m3-yearly", "M3 yearly", "YS", 1, 6, NAN, NAN),
    Case("tourism-monthly", "Tourism monthly", "MS", 12, 24, 1.38, 1.33),
    Case("tourism-quarterly", "Tourism quarterly", "QS", 4, 8, 1.46, 1.40),
    Case("taylor-day", "Taylor half-hourly demand, a day ahead", "30min", 336, 48, NAN, NAN),
)
QUANTILES = tuple(round(0.1 * i, 1) for i in range(1, 10))
# As published (benchmarks of Chronos, autogluon/fev, 2025-2026; MASE): series by series the same test parts.
PUBLISHED = {
    "m3-monthly": {"Chronos-Bolt base": 0.851, "TiRex": 0.831},
    "m3-quarterly": {"Chronos-Bolt base": 1.289, "TiRex": 1.154},
    "tourism-monthly": {"Chronos-Bolt base": 1.528, "TiRex": 1.449},
    "tourism-quarterly": {"Chronos-Bolt base": 1.756, "TiRex": 1.606},
}
BULK, SPEED_POINTS, SECONDS = 1000, 120, 4.0


def ask(http: httpx.Client, case: Case, series: Series) -> tuple[Row, float]:
    """The model's row of a case, and its weighted quantile loss."""
    request: dict[str, Any] = {
        "series": [to_json(one) for one in series.known],
        "freq": case.freq,
        "horizon": case.horizon,
        "level": list(LEVELS),
        "quantiles": list(QUANTILES),
    }
    started = time.monotonic()
    response = http.post("/forecast", json=request)
    seconds = time.monotonic() - started
    response.raise_for_status()
    answer = response.json()["forecasts"]
    forecasts = np.array([one["values"] for one in answer])
    inside = []
    for level in LEVELS:
        lower, upper = (np.array([one["intervals"][str(level)][side] for one in answer]) for side in ("lower", "upper"))
        inside.append(coverage(series.future, lower, upper))
    row = measure("**zero-shot**", case, series, forecasts, seconds, tuple(inside))
    quantiles = np.array([[one["quantiles"][str(quantile)] for quantile in QUANTILES] for one in answer])
    return row, weighted_quantile_loss(series.future, quantiles)


def weighted_quantile_loss(actual: Array, quantiles: Array) -> float:
    """The mean over quantiles of twice the pinball loss, as a share of the values' size.

    Source: T. Gneiting and A. E. Raftery, 2007, in the form of GluonTS.

    Args:
        actual: [n, horizon].
        quantiles: [n, quantiles, horizon], those of `QUANTILES`.
    """
    share = np.array(QUANTILES)[:, None]
    missed = actual[:, None] - quantiles
    loss = np.maximum(share * missed, (share - 1) * missed).sum(axis=(0, 2))
    return float((2 * loss / np.abs(actual).sum()).mean())


def show_accuracy(http: httpx.Client, cases: list[Case], python: str | None) -> None:
    print("\n| data | forecast | MASE | sMAPE | WQL | 80 % | 95 % | ms a series |\n|---|---|---|---|---|---|---|---|")
    for case in cases:
        series = load(case)
        rows = [measure("seasonal naive", case, series, seasonal_naive(case, series), NAN)]
        rows += peers(python, case, series) if python else []
        row, loss = ask(http, case, series)
        for one in (*rows, row):
            inside = [f"{share:.1f}" for share in one.coverage] or ["", ""]
            cost = "" if np.isnan(one.seconds) else f"{1000 * one.seconds / len(series.known):.2f}"
            wql = f"{loss:.4f}" if one is row else ""
            cells = [f"{one.mase:.3f}", f"{one.smape:.2f}", wql, *inside, cost]
            print(f"| {case.label} | {one.label} | {' | '.join(cells)} |", flush=True)
        for name, mase in PUBLISHED.get(case.key, {}).items():
            print(f"| {case.label} | {name}, published | {mase:.3f} | | | | | |", flush=True)


def show_air_passengers(http: httpx.Client) -> None:
    history, actual = load_air_passengers()
    answer = http.post("/forecast", json={"series": history.tolist()}).json()["forecasts"][0]
    error = np.abs(np.array(answer["values"]) - actual).mean()
    print(
        f"\nAirPassengers, the year 1960: mean absolute error {error:.1f} (season found: {answer['season']})",
        flush=True,
    )


def show_kinds(http: httpx.Client) -> None:
    print("\n| kind | zero-shot: MAE | best expert | its MAE | share | seasonal naive | share |")
    print("|---|---|---|---|---|---|---|")
    for kind in draw_kinds():
        rows = [row.tolist() for row in kind.series[:, :-HORIZON]]
        answer = http.post("/forecast", json={"series": rows, "horizon": HORIZON}).json()["forecasts"]
        error = float(np.abs(np.array([one["values"] for one in answer]) - kind.series[:, -HORIZON:]).mean())
        best = compare(kind)

        def share(other: float, error: float = error) -> str:
            return f"{error / other:.2f}" if other > 1e-3 else "1.00" if error < 1e-3 else "inf"

        print(
            f"| {kind.name} | {error:.3f} | {best.best} | {best.best_error:.3f} | {share(best.best_error)} "
            f"| {best.seasonal_naive_error:.3f} | {share(best.seasonal_naive_error)} |",
            flush=True,
        )


def show_speed(http: httpx.Client) -> None:
    port = http.base_url.port
    assert port is not None
    rng = np.random.default_rng(7)
    by_wrk = shutil.which("wrk") is not None

    def body(n: int, **options: Any) -> str:
        rows = (100 + rng.normal(size=(n, SPEED_POINTS)).cumsum(axis=1)).round(2).tolist()
        return json.dumps({"series": rows if n > 1 else rows[0], "horizon": 12, **options})

    print(f"\n{SPEED_POINTS} points, 12 steps; asked by {'wrk' if by_wrk else 'benchmarks.serving.load'}\n")
    print("| request | connections | requests/s | series/s | p50 ms | p99 ms |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for label, n, connections, options in (
            ("one series, freq given", 1, 1, {"freq": "MS"}),
            ("one series, freq given", 1, 64, {"freq": "MS"}),
            ("one series, season found", 1, 1, {}),
            ("one series, season found", 1, 64, {}),
            (f"bulk of {BULK}, freq given", BULK, 1, {"freq": "MS"}),
            (f"bulk of {BULK}, seasons found", BULK, 1, {}),
        ):
            path = Path(folder, "bodies.jsonl")
            path.write_text("\n".join(body(n, **options) for _ in range(16 if n == 1 else 3)))
            request = Load(port, "/forecast", str(path), connections, SECONDS)
            result = run_wrk(request) if by_wrk else finish(begin(request))
            print(
                f"| {label} | {connections} | {result.per_second:,.0f} | {n * result.per_second:,.0f} "
                f"| {result.p50:.2f} | {result.p99:.2f} |",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zero_shot", description=__doc__)
    parser.add_argument("--cases", default=",".join(case.key for case in CASES), help="keys, separated by commas")
    parser.add_argument("--parts", default="accuracy,kinds,speed", help="parts, separated by commas")
    parser.add_argument("--peers", help="a Python with statsforecast; by default no peers")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(describe_machine(), flush=True)
    parts = arguments.parts.split(",")
    with serving() as http:
        if "accuracy" in parts:
            show_accuracy(http, [case for case in CASES if case.key in arguments.cases.split(",")], arguments.peers)
            show_air_passengers(http)
        if "kinds" in parts:
            show_kinds(http)
        if "speed" in parts:
            show_speed(http)
    return 0


if __name__ == "__main__":
    sys.exit(main())
