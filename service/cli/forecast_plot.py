"""Forecasts of a file's series, with as much of their past as is drawn, and the two ways to draw them."""

import io
import os
import re
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from outfielder_client import Client, InvalidRequest
from outfielder_client import plot as draw_frames
from service.cli.output import clean
from service.cli.series_choice import choose_series, to_records
from service.cli.series_file import leave_out, name_file, read_request
from service.datasets.file_options import FileOptions
from service.domain.calendar import future_timestamps
from service.domain.series import PostedSeries, read_numbers, split
from service.errors import ServiceError

Array = NDArray[np.float64]

USUAL_LEVEL = 80.0
# Without a choice so many are drawn.
FEW_SERIES = 3
# Of the history as many points as make the forecast a fifth of the chart, and enough to see what came before.
HISTORY_A_STEP = 4
FEWEST_POINTS = 60
NOT_DRAWN = ("all_steps", "explain")
DOTS_PER_INCH = 150


class MatplotlibMissing(ServiceError):
    """Pictures are drawn by a library that is not installed."""

    code = "matplotlib_missing"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A series and its forecast.

    `history` [time] ends where the forecast begins, `n_points` counts what there is of it; `labels` [time + horizon]
    are of both. `answer` is the forecast as in POST /forecast.
    """

    id: str
    history: Array
    labels: list[str]
    answer: dict[str, Any]
    n_points: int
    model: str


def require_matplotlib() -> None:
    """Raises MatplotlibMissing."""
    try:
        import matplotlib.figure  # noqa: F401 - to know before the server is asked
    except ImportError as error:
        raise MatplotlibMissing(
            "Pictures need matplotlib: pip install matplotlib. Without --output the chart is drawn in the terminal."
        ) from error


def ask(
    client: Client, file: Path, options: FileOptions, wanted: list[str], asked: dict[str, Any], last: int | None
) -> list[Drawn]:
    """Forecasts series of a file, those `wanted` or the first few.

    Args:
        asked: fields of POST /forecast, which go before those of a JSON file.
        last: points of history to keep.

    Raises:
        BadParameter: the file has no such series.
        InvalidRequest: the file can't be read.
    """
    read = read_request(file, options, asked.get("freq"))
    fields = leave_out(read.fields, NOT_DRAWN) | asked
    series = choose_series(fields["series"], wanted) if wanted else split(fields["series"])
    if not wanted and len(series) > FEW_SERIES:
        print(f"outfielder: the first {FEW_SERIES} of {len(series):,} series; --series names others.", file=sys.stderr)
        series = series[:FEW_SERIES]
    request = fields | {"series": to_records(series), "level": fields.get("level") or [USUAL_LEVEL]}
    try:
        answer = client.forecast(**request)
    except InvalidRequest as error:
        if error.code != "level_not_calibrated" or fields.get("level"):
            raise
        print("outfielder: the model has no intervals at this horizon: drawn without.", file=sys.stderr)
        answer = client.forecast(**{name: value for name, value in request.items() if name != "level"})
    drawn = []
    for one, numbers, of_one in zip(series, read_numbers(series), answer["forecasts"], strict=True):
        if "error" in of_one:
            print(f"{one.id}: {of_one['error']['message']}", file=sys.stderr)
            continue
        # A file of one series without a name is called by its own.
        name = one.id if read.columns.id is not None else Path(name_file(file)).name
        model = f"{answer['model']} version {answer['version']}"
        drawn.append(_cut(one._replace(id=name), numbers, of_one, fields, last, model))
    return drawn


def _cut(
    posted: PostedSeries, numbers: Array, answer: dict[str, Any], fields: dict[str, Any], last: int | None, model: str
) -> Drawn:
    """The end of a series, with labels: times where they are known, else numbers from 1."""
    horizon = len(answer["values"])
    end = answer.get("starts_after", len(numbers) - 1) + 1
    begin = max(0, end - (last if last is not None else max(FEWEST_POINTS, HISTORY_A_STEP * horizon)))
    labels = [str(place) for place in range(begin + 1, end + horizon + 1)]
    start = posted.start if posted.start is not None else fields.get("start")
    if "timestamps" in answer and start is not None:
        labels = [*future_timestamps(fields["freq"], start, begin, end - begin), *answer["timestamps"]]
    if "fitted" in answer:
        answer = answer | {"fitted": answer["fitted"][begin:end]}
    return Drawn(posted.id, numbers[begin:end], labels, answer, end, model)


def draw_in_terminal(drawn: list[Drawn]) -> None:
    """Charts as wide as the terminal; without colours and in ASCII where there is none, or NO_COLOR is set."""
    from rich.console import Console

    from service.cli.chart import ASCII, UNICODE, Band, Picture, draw

    # Without colours there are no other styles either: what is read by a program has no control sequences.
    colors: Any = None if os.environ.get("NO_COLOR") else "auto"
    console = Console(color_system=colors, highlight=False, markup=False, emoji=False)
    knows_unicode = console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    height = max(8, min(18, (console.height - 2) // min(len(drawn), 2) - 5))
    for one in drawn:
        intervals = sorted(one.answer.get("intervals", {}).items(), key=lambda item: -float(item[0]))
        bands = [
            Band(f"{level} %", np.array(bounds["lower"]), np.array(bounds["upper"])) for level, bounds in intervals
        ]
        fitted = one.answer.get("fitted")
        picture = Picture(
            _describe(one),
            one.history,
            np.array(one.answer["values"], np.float64),
            bands,
            [_shorten(label) for label in one.labels],
            None if fitted is None else np.array(fitted, np.float64),
        )
        console.print(draw(picture, console.width, height, UNICODE if knows_unicode else ASCII), soft_wrap=True)


def _describe(one: Drawn) -> str:
    n = len(one.history)
    part = f"the last {n:,} of {one.n_points:,} points" if n < one.n_points else f"{n:,} point{'s' * (n != 1)}"
    return f"{clean(one.id)}: {part}, forecast by {one.model}"


def _shorten(label: str) -> str:
    """A time without seconds that are none, and without its zone's name."""
    return re.sub(r"(T\d\d:\d\d):00(?=$|[Z+-])", r"\1", label.partition("[")[0]).replace("T", " ")


def draw_picture(drawn: list[Drawn], picture_format: str) -> bytes:
    """The picture that the Python client draws, a panel for each series."""
    history: dict[str, list[Any]] = {"unique_id": [], "ds": [], "y": []}
    ahead: dict[str, list[Any]] = {"unique_id": [], "ds": []}
    model = drawn[0].model.partition(" ")[0]
    has_times = all("timestamps" in one.answer for one in drawn)
    has_fitted = any("fitted" in one.answer for one in drawn)
    for one in drawn:
        n, horizon = len(one.history), len(one.answer["values"])
        places = _read_times(one.labels) if has_times else list(range(one.n_points - n, one.n_points + horizon))
        history["unique_id"] += [one.id] * n
        history["ds"] += places[:n]
        history["y"] += one.history.tolist()
        if has_fitted:
            history.setdefault("fitted", []).extend(one.answer.get("fitted", [None] * n))
        ahead["unique_id"] += [one.id] * horizon
        ahead["ds"] += places[n:]
        ahead.setdefault(model, []).extend(one.answer["values"])
        for level, bounds in one.answer.get("intervals", {}).items():
            ahead.setdefault(f"{model}-lo-{level}", []).extend(bounds["lower"])
            ahead.setdefault(f"{model}-hi-{level}", []).extend(bounds["upper"])
    frames = (nw.from_dict(columns, backend="pyarrow").to_native() for columns in (history, ahead))
    figure = draw_frames(*frames, max_series=len(drawn))
    file = io.BytesIO()
    figure.savefig(file, format=picture_format, dpi=DOTS_PER_INCH)
    return file.getvalue()


def _read_times(labels: list[str]) -> list[datetime]:
    """Wall times of their zone."""
    return [datetime.fromisoformat(label.partition("[")[0]).replace(tzinfo=None) for label in labels]
