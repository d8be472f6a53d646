"""Data frames in long format, of any library that narwhals knows: in, and out as frames of the same library."""

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import narwhals as nw

from outfielder_client.errors import UnusableInput
from outfielder_client.series import cut

PARQUET = "application/vnd.apache.parquet"
# Whole numbers that count on may be days or months, which don't: 20240131 is followed by 20240201.
LOOKS_LIKE_DATES = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])?\Z")


@dataclass(frozen=True)
class Columns:
    """The columns of a long frame: ids of series, times, values."""

    id: str = "unique_id"
    time: str = "ds"
    target: str = "y"


def as_frame(given: Any) -> "nw.DataFrame[Any] | None":
    """A data frame in memory, or None for anything else. Lazy Polars frames are collected."""
    frame = nw.from_native(given, pass_through=True)
    if isinstance(frame, nw.LazyFrame) and frame.implementation is nw.Implementation.POLARS:
        return frame.collect()
    return frame if isinstance(frame, nw.DataFrame) else None


class LongFrame:
    """A frame whose columns are checked.

    Attributes:
        ids: the id of each series as a text, in the order of their first rows.
    """

    def __init__(self, frame: "nw.DataFrame[Any]", columns: Columns) -> None:
        """Raises UnusableInput: a column is missing, twice there or of a wrong type, or an id is missing."""
        names = frame.columns
        _check_there(columns.target, "target_col", names)
        for name, default, parameter in (
            (columns.id, Columns.id, "id_col"),
            (columns.time, Columns.time, "time_col"),
        ):
            if name != default:
                _check_there(name, parameter, names)
        if len({columns.id, columns.time, columns.target}) < 3:
            raise UnusableInput("id_col, time_col and target_col must name three different columns.")
        self.columns = columns
        self.has_ids = columns.id in names
        self.has_times = columns.time in names
        kept = [name for name in (columns.id, columns.time, columns.target) if name in names]
        self.frame = nw.maybe_reset_index(frame.select(*kept))
        target = self.frame[columns.target]
        if not (
            target.dtype.is_numeric() or target.dtype in (nw.Object, nw.Unknown) or target.null_count() == len(target)
        ):
            raise UnusableInput(f"Expected numbers in the column {columns.target!r}, got {target.dtype}.")
        if len(self.frame) == 0:
            raise UnusableInput("The frame has no rows.")
        self._read_ids()

    def _read_ids(self) -> None:
        if not self.has_ids:
            self.ids, self._originals, self._sizes = ["0"], ["0"], [len(self.frame)]
            return
        column = self.frame[self.columns.id]
        if column.null_count():
            row = int(column.is_null().arg_true()[0])
            raise UnusableInput(f"Row {row} of the frame has no {self.columns.id}: give it one, or leave the row out.")
        counts: dict[Any, int] = {}
        for value in column.to_list():
            counts[value] = counts.get(value, 0) + 1
        self._originals, self._sizes = list(counts), list(counts.values())
        self.ids = [str(value) for value in self._originals]
        if len(set(self.ids)) < len(self.ids):
            raise UnusableInput(f"Two ids of the column {self.columns.id!r} read the same as texts: rename one.")

    @property
    def counts_steps(self) -> bool:
        """Whether times are absent or whole numbers, so that nothing needs a calendar."""
        return not self.has_times or self.frame[self.columns.time].dtype.is_integer()

    @property
    def n_series(self) -> int:
        return len(self.ids)

    def split(self, max_points: int, max_series: int) -> "list[LongFrame]":
        """Parts of at most so many rows and series, in order; all rows of a series stand in one part."""
        ranges = cut(self._sizes, max_points, max_series)
        if len(ranges) == 1:
            return [self]
        place = {self._originals[i]: part for part, (begin, end) in enumerate(ranges) for i in range(begin, end)}
        rows: list[list[int]] = [[] for _ in ranges]
        for row, value in enumerate(self.frame[self.columns.id].to_list()):
            rows[place[value]].append(row)
        return [LongFrame(self.frame[chosen], self.columns) for chosen in rows]

    def to_parquet(self) -> bytes:
        """The frame as a file for POST /datasets. Raises UnusableInput where pandas lacks pyarrow."""
        frame = self.frame
        if self.has_ids:
            # As texts, they come back as they are sent.
            series = frame[self.columns.id].to_list()
            texts = nw.new_series(
                self.columns.id, [str(value) for value in series], nw.String(), backend=_backend(frame)
            )
            frame = frame.drop(self.columns.id).with_columns(texts)
        file = io.BytesIO()
        try:
            frame.write_parquet(file)
        except ImportError as error:
            raise UnusableInput(
                "pandas needs pyarrow to send frames: pip install 'outfielder-client[pandas]'."
            ) from error
        return file.getvalue()

    def file_options(self) -> dict[str, str]:
        """What POST /datasets is told of the file."""
        options = {"target_column": self.columns.target, "format": "long"}
        if self.has_ids:
            options["id_column"] = self.columns.id
        if self.has_times:
            options["time_column"] = self.columns.time
        return options

    def read_steps(self) -> "dict[str, Steps]":
        """The series by id, where nothing needs a calendar: rows in order, or sorted by their whole numbers.

        Raises:
            UnusableInput: the numbers are missing, repeat, leave gaps or look like dates.
        """
        values = self.frame[self.columns.target].to_list()
        ids = self.frame[self.columns.id].to_list() if self.has_ids else self._originals * len(values)
        times = self.frame[self.columns.time].to_list() if self.has_times else [None] * len(values)
        rows: dict[Any, list[tuple[Any, Any]]] = {}
        for name, time, value in zip(ids, times, values, strict=True):
            rows.setdefault(name, []).append((time, value))
        return {str(name): self._count_steps(str(name), pairs) for name, pairs in rows.items()}

    def _count_steps(self, name: str, pairs: list[tuple[Any, Any]]) -> "Steps":
        if not self.has_times:
            return Steps([value for _, value in pairs], 0, 1)
        column = self.columns.time
        if any(time is None for time, _ in pairs):
            raise UnusableInput(f"Series {name!r} has a row without {column}: give it one, or leave the row out.")
        pairs.sort(key=lambda pair: pair[0])
        times = [int(time) for time, _ in pairs]
        step = times[1] - times[0] if len(times) > 1 else 1
        if all(LOOKS_LIKE_DATES.match(str(time)) for time in times):
            raise UnusableInput(
                f"The whole numbers of {column!r}, such as {times[0]}, look like dates: convert them to dates."
            )
        for before, after in pairwise(times):
            if after - before != step or step == 0:
                raise UnusableInput(
                    f"Series {name!r}: the whole numbers of {column!r} must go up by the same step; {before} is "
                    f"followed by {after}. Add the missing rows, leave repeated ones out, or give dates."
                )
        return Steps([value for _, value in pairs], times[0], step)

    def read_stamps(self, stamps: Sequence[str]) -> list[Any]:
        """Time stamps of the service as values of the frame's column of times."""
        dtype = self.time_dtype()
        if dtype == nw.Date:
            return [date.fromisoformat(stamp[:10]) for stamp in stamps]
        if isinstance(dtype, nw.Datetime) or dtype == nw.Datetime:
            moments = [datetime.fromisoformat(stamp.partition("[")[0]) for stamp in stamps]
            # Back in the zone where they belong once they are a column.
            return [m if m.tzinfo is None else m.astimezone(UTC).replace(tzinfo=None) for m in moments]
        return list(stamps)

    def build(self, places: Sequence[int], times: list[Any], columns: dict[str, list[Any]]) -> Any:
        """A native frame of the same library.

        Args:
            places: for each row the number of its series in `ids`.
            times: for each row its time, as `read_stamps` or Steps give it.
            columns: the other columns by name.
        """
        backend = _backend(self.frame)
        made = {}
        if self.has_ids:
            dtype = self.frame[self.columns.id].dtype
            made[self.columns.id] = _make_column(
                self.columns.id, [self._originals[place] for place in places], dtype, backend
            )
        made[self.columns.time] = self._make_times(times, backend)
        for name, values in columns.items():
            made[name] = nw.new_series(name, values, _dtype_of(values), backend=backend)
        first, *others = made.values()
        # pandas loses zones in a frame that is made from columns at once.
        return first.to_frame().with_columns(*others).to_native()

    def time_dtype(self) -> Any:
        """The type of the column of times. narwhals does not know pandas' zones of other letters: America/New_York."""
        column = self.frame[self.columns.time]
        native = getattr(column.to_native(), "dtype", None)
        zone, unit = getattr(native, "tz", None), getattr(native, "unit", None)
        if column.dtype == nw.Unknown and zone is not None and unit is not None:
            return nw.Datetime(unit, str(zone))
        return column.dtype

    def _make_times(self, times: list[Any], backend: Any) -> "nw.Series[Any]":
        name = self.columns.time
        if not self.has_times:
            return nw.new_series(name, times, nw.Int64(), backend=backend)
        dtype = self.time_dtype()
        if isinstance(dtype, nw.Datetime):
            naive = nw.new_series(name, times, nw.Datetime("us"), backend=backend)
            if dtype.time_zone is not None:
                naive = naive.dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone)
            return naive.cast(dtype)
        return _make_column(name, times, dtype, backend)


@dataclass(frozen=True)
class Steps:
    """A series whose times are whole numbers: the first one, and how far each is from the one before."""

    values: list[Any]
    first: int
    step: int

    def times(self, begin: int, count: int) -> list[int]:
        return [self.first + self.step * index for index in range(begin, begin + count)]


def interval_columns(model: str, answer: dict[str, Any]) -> Iterator[tuple[str, list[float]]]:
    """The columns of one series' forecast beside its times: the forecast, intervals, quantiles."""
    yield model, answer["values"]
    for level, interval in answer.get("intervals", {}).items():
        yield f"{model}-lo-{level}", interval["lower"]
        yield f"{model}-hi-{level}", interval["upper"]
    for quantile, values in answer.get("quantiles", {}).items():
        yield f"{model}-q-{to_percent(quantile)}", values


def to_percent(quantile: str) -> str:
    """A quantile in percent, as the shortest decimal: `0.975` is `97.5`."""
    digits = json.dumps(round(float(quantile) * 100, 10))
    return digits.removesuffix(".0")


def _make_column(name: str, values: list[Any], dtype: Any, backend: Any) -> "nw.Series[Any]":
    if dtype in (nw.Object, nw.Unknown) or dtype == nw.String:
        return nw.new_series(name, values, None if dtype != nw.String else nw.String(), backend=backend)
    return nw.new_series(name, values, backend=backend).cast(dtype)


def _dtype_of(values: list[Any]) -> Any:
    return nw.Boolean() if values and all(isinstance(value, bool) for value in values) else nw.Float64()


def _backend(frame: "nw.DataFrame[Any]") -> Any:
    return frame.implementation


def _check_there(name: str, parameter: str, names: Sequence[str]) -> None:
    if names.count(name) != 1:
        problem = "has no column" if name not in names else "has several columns"
        raise UnusableInput(
            f"The frame {problem} {name!r}; its columns are {', '.join(map(repr, names))}. Name it with {parameter}."
        )


__all__ = ["PARQUET", "Columns", "LongFrame", "Steps", "as_frame", "interval_columns", "to_percent"]
