"""Answers of the TimeGPT v2 protocol: numbers of all series one behind the other, rows by their place in `y`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.domain.panel import Panel
from service.serving.anomalies import Fitted, FittedSeries
from service.serving.forecasting import Forecast
from service.serving.interval_widths import format_level

# A score of more than this says no more.
GREATEST_SCORE = 1e6


def forecast_answer(forecast: Forecast, n_points: int) -> dict[str, Any]:
    """Of POST /v2/forecast."""
    good = [series for series in forecast.series if series.values is not None]
    intervals: dict[str, Any] = {}
    for level in forecast.plan.half_widths:
        bounds = [series.intervals[level] for series in good if series.intervals is not None]
        intervals |= {
            f"lo-{level}": np.concatenate([low for low, _ in bounds]),
            f"hi-{level}": np.concatenate([high for _, high in bounds]),
        }
    mean = np.concatenate([np.asarray(series.values, np.float64) for series in good])
    return _answer(mean, intervals, n_points)


def cross_validation_answer(panel: Panel, answer: dict[str, Any]) -> dict[str, Any]:
    """Of POST /v2/cross_validation, from a backtest's answer with its forecasts."""
    mean: list[float] = []
    idxs: list[int] = []
    sizes: list[int] = []
    intervals: dict[str, list[float]] = {}
    for series, first in zip(answer["series"], _firsts(panel), strict=True):
        sizes.append(0)
        for forecast in series["forecasts"]:
            mean += forecast["values"]
            sizes[-1] += len(forecast["values"])
            begin = first + forecast["origin"]
            idxs += range(begin, begin + len(forecast["values"]))
            for level, bounds in forecast.get("intervals", {}).items():
                intervals.setdefault(f"lo-{level}", []).extend(bounds["lower"])
                intervals.setdefault(f"hi-{level}", []).extend(bounds["upper"])
    return {**_answer(mean, intervals, panel.n_points), "idxs": idxs, "sizes": sizes}


def history_answer(panel: Panel, fitted: Fitted, levels: Sequence[float]) -> dict[str, Any]:
    """One-step forecasts of the last points of each series, with the intervals of some levels."""
    names = [format_level(level) for level in levels]
    intervals: dict[str, Any] = {}
    for name in names:
        intervals |= {
            f"lo-{name}": _join([series.intervals[name][0][series.first :] for series in fitted.series]),
            f"hi-{name}": _join([series.intervals[name][1][series.first :] for series in fitted.series]),
        }
    tails = [_values(series)[series.first :] for series in fitted.series]
    return {**_answer(_join(tails), intervals, panel.n_points), "sizes": [len(tail) for tail in tails]}


def anomaly_answer(panel: Panel, fitted: Fitted, level: float) -> dict[str, Any]:
    """Of POST /v2/anomaly_detection."""
    outside = [series.is_outside(format_level(level))[series.first :] for series in fitted.series]
    return {**history_answer(panel, fitted, (level,)), "anomaly": np.concatenate(outside)}


def online_anomaly_answer(panel: Panel, answer: dict[str, Any], *, level: float, detection_size: int) -> dict[str, Any]:
    """Of POST /v2/online_anomaly_detection, from a backtest whose windows reach over the last points of each series."""
    name = format_level(level)
    mean, lower, upper, idxs, sizes, actual = ([] for _ in range(6))
    for series, first, values in zip(answer["series"], _firsts(panel), panel.values, strict=True):
        rows = []
        forecasts = series["forecasts"]
        for i, forecast in enumerate(forecasts):
            # What a later forecast is of as well, that tells. Origins in a gap lie where it begins.
            count = len(forecast["values"])
            if i < len(forecasts) - 1:
                count = min(count, forecasts[i + 1]["origin"] - forecast["origin"])
            bounds = forecast["intervals"][name]
            rows += [
                (forecast["origin"] + j, forecast["values"][j], bounds["lower"][j], bounds["upper"][j])
                for j in range(count)
            ]
        rows = rows[-detection_size:]
        sizes.append(len(rows))
        for place, value, low, high in rows:
            idxs.append(first + place)
            mean.append(value)
            lower.append(low)
            upper.append(high)
            actual.append(values[place])
    seen, low, high = np.array(actual), np.array(lower), np.array(upper)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = (seen - np.array(mean)) / np.maximum((high - low) / 2, np.finfo(float).tiny)
        outside = (seen < low) | (seen > high)
    return {
        **_answer(mean, {f"lo-{name}": lower, f"hi-{name}": upper}, panel.n_points),
        "idxs": idxs,
        "sizes": sizes,
        "anomaly": outside,
        # Half widths of the interval that a point is away from its forecast: beyond 1 it is outside.
        "anomaly_score": np.nan_to_num(np.clip(scores, -GREATEST_SCORE, GREATEST_SCORE)),
    }


def _answer(mean: Any, intervals: dict[str, Any], n_points: int) -> dict[str, Any]:
    return {
        "mean": mean,
        "intervals": intervals or None,
        "weights_x": None,
        "feature_contributions": None,
        "input_tokens": n_points,
        "output_tokens": len(mean),
        "finetune_tokens": 0,
    }


def _firsts(panel: Panel) -> list[int]:
    """Where each series begins among all values."""
    return [int(first) for first in np.cumsum([0, *map(len, panel.values)])[:-1]]


def _values(series: FittedSeries) -> Any:
    assert series.values is not None
    return series.values


def _join(arrays: list[Any]) -> Any:
    """Arrays one behind the other; a place without a forecast, behind the last number, has the one before it."""
    joined = np.concatenate(arrays)
    known = np.where(np.isnan(joined), 0, np.arange(len(joined)))
    return joined[np.maximum.accumulate(known)]
