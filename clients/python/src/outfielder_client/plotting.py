"""Draws histories, forecasts and intervals."""

import re
from typing import Any

import narwhals as nw

from outfielder_client.errors import UnusableInput
from outfielder_client.frames import Columns, as_frame

BOUND = re.compile(r"(?P<model>.+)-(?P<side>lo|hi)-(?P<level>[\d.]+)\Z")
QUANTILE = re.compile(r".+-q-[\d.]+\Z")
PANEL_INCHES = (10.0, 2.8)


def plot(
    history: Any,
    forecast: Any = None,
    *,
    ids: list[Any] | None = None,
    max_series: int = 8,
    last: int | None = None,
    id_col: str = Columns.id,
    time_col: str = Columns.time,
    target_col: str = Columns.target,
) -> Any:
    """Draws series, a panel each, with matplotlib.

    Args:
        history: a long frame, as `forecast` and `anomalies` take it.
        forecast: a frame of `forecast` or `anomalies`, or None; its intervals become bands, its anomalies points.
        ids: the series to draw; by default the first `max_series`.
        last: how many points of the history to draw; by default all.

    Returns:
        The figure of matplotlib, which notebooks show.

    Raises:
        UnusableInput: matplotlib is not installed, or an argument is no frame.
    """
    try:
        from outfielder_client.drawing import Drawing
    except ImportError as error:
        raise UnusableInput("plot() needs matplotlib: pip install 'outfielder-client[plot]'.") from error
    past = _read(history, "history")
    ahead = None if forecast is None else _read(forecast, "forecast")
    columns = Columns(id_col, time_col, target_col)
    chosen = ids if ids is not None else _list_ids(past, id_col)[:max_series]
    figure = Drawing(figsize=(PANEL_INCHES[0], PANEL_INCHES[1] * max(1, len(chosen))), layout="constrained")
    axes = figure.subplots(max(1, len(chosen)), 1, squeeze=False)[:, 0]
    for axis, name in zip(axes, chosen, strict=True):
        rows = _pick(past, id_col, name)
        if last is not None:
            rows = rows.tail(last)
        _draw(axis, rows, columns, "tab:orange")
        if ahead is not None:
            _draw(axis, _pick(ahead, id_col, name), columns, "tab:blue")
        axis.set_title(str(name), loc="left")
        axis.legend(loc="upper left", fontsize="small")
    return figure


def _draw(axis: Any, rows: "nw.DataFrame[Any]", columns: Columns, colour: str) -> None:
    """The lines of a panel: what was measured, what a model says, its bands and what stands out."""
    x = rows[columns.time].to_list() if columns.time in rows.columns else list(range(len(rows)))
    bounds = [match for name in rows.columns if (match := BOUND.match(name)) and match["side"] == "lo"]
    for bound in sorted(bounds, key=lambda match: -float(match["level"])):
        low = rows[bound.string].to_list()
        high = rows[f"{bound['model']}-hi-{bound['level']}"].to_list()
        axis.fill_between(x, _floats(low), _floats(high), alpha=0.2, label=f"{bound['level']} %", color="tab:blue")
    for name in rows.columns:
        if name in (columns.id, columns.time, "anomaly") or BOUND.match(name) or not rows[name].dtype.is_numeric():
            continue
        is_target = name == columns.target
        style = {"color": "black" if is_target else colour, "linestyle": ":" if QUANTILE.match(name) else "-"}
        axis.plot(x, _floats(rows[name].to_list()), label=name, linewidth=1.2, **style)
    if "anomaly" in rows.columns and columns.target in rows.columns:
        marks = [i for i, is_outside in enumerate(rows["anomaly"].to_list()) if is_outside]
        y = _floats(rows[columns.target].to_list())
        axis.plot([x[i] for i in marks], [y[i] for i in marks], "o", color="tab:red", label="anomaly")


def _floats(values: list[Any]) -> list[float]:
    return [float("nan") if value is None else float(value) for value in values]


def _read(given: Any, what: str) -> "nw.DataFrame[Any]":
    frame = as_frame(given)
    if frame is None:
        raise UnusableInput(f"Expected a data frame as {what}, got a {type(given).__name__}.")
    return frame


def _list_ids(frame: "nw.DataFrame[Any]", column: str) -> list[Any]:
    return list(dict.fromkeys(frame[column].to_list())) if column in frame.columns else ["series"]


def _pick(frame: "nw.DataFrame[Any]", column: str, name: Any) -> "nw.DataFrame[Any]":
    return frame.filter(nw.col(column) == name) if column in frame.columns else frame
