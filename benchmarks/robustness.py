"""Robustness: how one hostile series affects the forecasts of others, and forecasts of intermittent demand.

Run it with `make bench-robustness`. A server and a worker train on competition series, once as they are and once for
each guest among them; scores and coverage are those of the other series on their official test parts. A network that
learns from one more series of any kind draws other windows, which moves its scores by itself: so an ordinary series is
a guest as well, for comparison. Then come 200 synthetic spare parts: every architecture must train and publish, and
`auto` is scored beside naive, seasonal naive and the mean rate.
"""

import argparse
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import CASES, Case, Series, forecast, load, measure, serving, train
from benchmarks.machine import describe_machine
from service.domain.metrics import coverage, mean_absolute_scaled_error, seasonal_scale
from service.domain.recipes.presets import PRESETS

Array = NDArray[np.float64]

MODELS = ("ridge", "mlp", "theta_mlp", "gru", "auto")
# How far scores may move, relative to those without the guest; coverage, in points.
TOLERATED = 0.01
AMPLE_SECONDS = 7200

N_PARTS = 200
DAYS = 400
WEEK = 7
AHEAD = 14


def make_guest(name: str, length: int, season: int) -> Array:
    """A hostile series [time]; NaN for a missing value."""
    regular: Array = 20 + 3.0 * (np.arange(length) % season) + np.random.default_rng(0).random(length)
    if name == "constant":
        return np.full(length, 5.0)
    if name == "all zero":
        return np.zeros(length)
    if name == "level of 1e9":
        return regular + 1e9
    if name == "ordinary":
        return regular
    if name == "stopped":
        regular[int(0.6 * length) :] = 0
    elif name == "one -9999":
        regular[length // 2] = -9999
    else:
        regular[length - int(0.3 * length) :] = np.nan
    return regular


GUESTS = ("constant", "stopped", "all zero", "level of 1e9", "one -9999", "30 % nulls at its end")


@dataclass(frozen=True)
class Result:
    """MASE of the series that are no guests, and the coverage of their 80 % and 95 % intervals."""

    mase: float
    covered: tuple[float, ...]


def run_guest(http: httpx.Client, case: Case, series: Series, model: str, guest: str | None) -> Result:
    """Trains with a guest, or without, and forecasts the others."""
    past = list(series.past)
    if guest is not None:
        length = int(np.median([len(one) for one in past]))
        past.append(make_guest(guest, length, case.season))
    name = f"{model}-{guest or 'alone'}".replace(" ", "-").replace("%", "percent").replace(".", "")
    renamed = Case(**{**case.__dict__, "key": f"{case.key}-{name}"})
    # Far more than `auto` needs: else a busy machine would try fewer candidates beside one guest than beside another.
    options = {"max_seconds": AMPLE_SECONDS} if model == "auto" else {}
    trained, _ = train(http, renamed, Series(past, past, series.future), model, **options)
    forecasts, covered = forecast(http, case, series, trained)
    return Result(measure(model, case, series, forecasts, 0.0).mase, covered)


def show_guests(http: httpx.Client, cases: list[Case], models: list[str], guests: list[str]) -> bool:
    """Prints a row for each model and guest; whether all stay within what is tolerated of an ordinary guest."""
    print("\n| data | model | guest | MASE of the others | to none | to an ordinary one | 80 % | 95 % |")
    print("|---|---|---|---|---|---|---|---|")
    is_robust = True
    for case in cases:
        series = load(case)
        for model in models:
            alone = run_guest(http, case, series, model, None)
            ordinary = run_guest(http, case, series, model, "ordinary")
            _print(case, model, "none", alone, "", "")
            _print(case, model, "ordinary", ordinary, _change(ordinary, alone), "")
            for guest in guests:
                found = run_guest(http, case, series, model, guest)
                nearest = min(abs(found.mase / other.mase - 1) for other in (alone, ordinary))
                moved = min(
                    max(abs(one - other) for one, other in zip(found.covered, control.covered, strict=True))
                    for control in (alone, ordinary)
                )
                is_robust &= nearest <= TOLERATED and moved <= 100 * TOLERATED
                _print(case, model, guest, found, _change(found, alone), _change(found, ordinary))
    return is_robust


def _change(found: Result, other: Result) -> str:
    return f"{100 * (found.mase / other.mase - 1):+.2f} %"


def _print(case: Case, model: str, guest: str, result: Result, *changes: str) -> None:
    cells = " | ".join(f"{share:.1f}" for share in result.covered)
    print(f"| {case.label} | {model} | {guest} | {result.mase:.4f} | {' | '.join(changes)} | {cells} |", flush=True)


def make_parts(seed: int = 0) -> list[Array]:
    """Spare parts: demand with a mean gap of 2 to 20 days, whose rate and size shift up to twice.

    Source of the shape: J. D. Croston, "Forecasting and Stock Control for Intermittent Demands", 1972.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(N_PARTS):
        rate = np.full(DAYS, 1 / rng.uniform(2, 20))
        size = np.full(DAYS, rng.uniform(1, 10))
        for _ in range(rng.integers(0, 3)):
            shift = rng.integers(40, DAYS)
            rate[shift:] = np.clip(rate[shift:] * rng.uniform(0.4, 2.5), 0.05, 0.5)
            size[shift:] *= rng.uniform(0.5, 2)
        demand = 1 + rng.poisson(np.maximum(size - 1, 0))
        parts.append(np.where(rng.random(DAYS) < rate, demand, 0).astype(float))
    return parts


def show_parts(http: httpx.Client, models: list[str], seed: int) -> bool:
    """Prints a row for each forecast of the parts; whether every model is published and `auto` is good enough."""
    parts = make_parts(seed)
    past, future = [part[:-AHEAD] for part in parts], np.stack([part[-AHEAD:] for part in parts])
    scales = np.array([seasonal_scale(one, WEEK) for one in past])
    case = Case(f"parts-{seed}", "Spare parts", "D", WEEK, AHEAD, float("nan"), float("nan"))
    print(f"\nSpare parts, seed {seed}: {100 * (future == 0).mean():.0f} % of the days ahead have no demand\n")
    print("| forecast | MASE | RMSE | 80 % | 95 % | lowest bound |\n|---|---|---|---|---|---|")
    naive = {
        "naive": np.stack([np.full(AHEAD, one[-1]) for one in past]),
        "seasonal naive": np.stack([np.resize(one[-WEEK:], AHEAD) for one in past]),
        "mean rate": np.stack([np.full(AHEAD, one.mean()) for one in past]),
    }
    scores = {name: _score(forecasts, future, scales) for name, forecasts in naive.items()}
    for name, (mase, rmse) in scores.items():
        print(f"| {name} | {mase:.3f} | {rmse:.3f} | | | |")
    best = [min(column) for column in zip(*scores.values(), strict=True)]
    is_good = True
    for model in models:
        trained, _ = train(http, case, Series(past, past, future), model)
        forecasts, lowest, covered = _ask(http, trained, past, future)
        mase, rmse = _score(forecasts, future, scales)
        print(f"| {model} | {mase:.3f} | {rmse:.3f} | {covered[0]:.1f} | {covered[1]:.1f} | {lowest:g} |", flush=True)
        if model == "auto":
            is_good = mase <= best[0] and rmse <= best[1] and 76 <= covered[0] <= 90 and lowest >= 0
    return is_good


def _score(forecasts: Array, future: Array, scales: Array) -> tuple[float, float]:
    mase = mean_absolute_scaled_error(future, forecasts, scales)
    assert mase is not None  # every part has demand
    return mase, float(np.sqrt(np.square(forecasts - future).mean()))


def _ask(http: httpx.Client, name: str, past: list[Array], future: Array) -> tuple[Array, float, tuple[float, ...]]:
    """Forecasts, the lowest bound of any interval, and the coverage of the 80 % and 95 % intervals."""
    request = {"model": name, "version": 1, "series": [one.tolist() for one in past], "level": [80, 95]}
    answer = http.post("/forecast", json={**request, "horizon": AHEAD})
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["forecasts"]
    bounds = [
        [np.array([one["intervals"][level][side] for one in found]) for side in ("lower", "upper")]
        for level in ("80", "95")
    ]
    covered = tuple(coverage(future, lower, upper) for lower, upper in bounds)
    return np.array([one["values"] for one in found]), float(min(lower.min() for lower, _ in bounds)), covered


def _choose(text: str, known: Iterator[str]) -> list[str]:
    names = list(known)
    chosen = names if text == "all" else [name for name in text.split(",") if name]
    unknown = set(chosen) - set(names)
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}. Choose of: {', '.join(names)}")
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default="all", help="competition sets, separated by commas")
    parser.add_argument("--models", default="all", help="models that meet the guests, separated by commas")
    parser.add_argument("--guests", default="all", help="guests, separated by commas")
    parser.add_argument("--parts", default="all", help="architectures that meet the spare parts, separated by commas")
    parser.add_argument("--seeds", default="0", help="seeds of the spare parts, separated by commas")
    arguments = parser.parse_args()
    # Told to end, it ends its server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    keys = _choose(arguments.cases, (case.key for case in CASES[:4] if not case.relative))
    models, guests = _choose(arguments.models, iter(MODELS)), _choose(arguments.guests, iter(GUESTS))
    parts = _choose(arguments.parts, iter([*PRESETS, "auto"]))
    print(describe_machine(), flush=True)
    with serving() as http:
        is_good = show_guests(http, [case for case in CASES if case.key in keys], models, guests) if keys else True
        for seed in arguments.seeds.split(",") if parts else ():
            is_good &= show_parts(http, parts, int(seed))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
