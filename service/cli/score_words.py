"""Scores in words: which one to show, and how it stands beside those of simple forecasts."""

import math
from typing import Any

Scores = dict[str, Any]
Rows = dict[str, Scores]

NAMES = {"seasonal_naive": "seasonal naive"}
# Below it two errors are the same to whoever reads whole percents.
LEAST_DIFFERENCE = 0.005
# Beyond so many times the rival's error, percents say less than times.
MANY_TIMES = 2


def read_rows(metrics: dict[str, Any]) -> Rows:
    """The scores of a manifest's `model` and of the baselines: of the test part or, where none was held out, of the
    part that validated. Empty where nothing was scored.
    """
    part = "test" if "test" in metrics else "validation"
    if part not in metrics:
        return {}
    baselines = metrics.get("baselines", {})
    return {"model": metrics[part]} | {name: parts[part] for name, parts in baselines.items() if part in parts}


def choose_metric(rows: Rows, *, squared: bool = False) -> str | None:
    """The score that says most: MASE; RMSE where no series has a scale, or `squared` errors judge; MSE of waves, which
    have no MASE. None where nothing was measured.
    """
    scores = rows.get("model", {})
    candidates = ("mse",) if "mase" not in scores else ("rmse",) if squared else ("mase", "rmse")
    return next((metric for metric in candidates if scores.get(metric) is not None), None)


def show(rows: Rows, metric: str | None) -> str:
    """`MASE 0.84`; empty where nothing was measured."""
    return "" if metric is None else f"{metric.upper()} {format_score(rows['model'][metric], metric)}"


def show_score(metrics: dict[str, Any]) -> str:
    """The score of a manifest on its test part beside the forecast to beat; empty where it has none."""
    rows = read_rows(metrics) if "test" in metrics else {}
    return show_beside(rows, choose_metric(rows))


def show_beside(rows: Rows, metric: str | None) -> str:
    """`MASE 0.84 (seasonal naive 1.09)`: with the forecast to beat."""
    rival = next(iter(_list_rivals(rows, metric)), None)
    if metric is None or rival is None:
        return show(rows, metric)
    return f"{show(rows, metric)} ({NAMES.get(rival, rival)} {format_score(rows[rival][metric], metric)})"


def compare_all(rows: Rows, metric: str) -> str:
    """`23 % better than seasonal naive (1.09), 4 % worse than linear (0.81)`; empty without baselines."""
    own = rows["model"][metric]
    return ", ".join(
        f"{compare(own, rows[name][metric])} {NAMES.get(name, name)} ({format_score(rows[name][metric], metric)})"
        for name in _list_rivals(rows, metric)
    )


def compare(own: float, rival: float) -> str:
    """How an error stands beside another: `23 % better than`, `as good as`, `3.2 times the error of`."""
    if own == rival or (rival and abs(own / rival - 1) < LEAST_DIFFERENCE):
        return "as good as"
    if own < rival:
        # An error that is left is never a hundred percent better than another.
        return f"{min(100 * (1 - own / rival), 99 if own else 100):.0f} % better than"
    ratio = own / rival if rival else math.inf
    if ratio < MANY_TIMES:
        return f"{100 * (ratio - 1):.0f} % worse than"
    return f"{ratio:.3g} times the error of" if math.isfinite(ratio) else "worse than"


def format_score(score: float, metric: str) -> str:
    """Two decimals of MASE, which has no unit; four digits of what is in the unit of the series."""
    if metric == "mase" and 0.1 <= score < 1000:
        return f"{score:.2f}"
    return f"{score:.4g}" if score < 1e4 else f"{score:,.0f}" if score < 1e15 else f"{score:.3e}"


def _list_rivals(rows: Rows, metric: str | None) -> list[str]:
    """The baselines with a score, the one to beat first; naive only where no season is known."""
    rivals = [n for n in ("seasonal_naive", "linear", "naive") if rows.get(n, {}).get(metric or "") is not None]
    return [name for name in rivals if name != "naive" or "seasonal_naive" not in rivals]
