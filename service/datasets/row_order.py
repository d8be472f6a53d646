"""Sorts the rows of a series by time, and keeps one row for each time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Finding
from service.datasets.table import Rows, Table
from service.datasets.time_column import Times
from service.domain.start_time import format_offset
from service.errors import InvalidRequest

# The share of rows with the time of another one beyond which the file is something else than series.
MOST_DOUBLES = 0.5
_SECOND = np.timedelta64(1, "s")


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """`stamps` [rows] ascend and are regular where the series is: wall times, or times in UTC. None without times.

    `times` are those of the same rows as they were written; `rows` are where these stand in the table.
    """

    id: str
    values: NDArray[np.float64]
    rows: Rows
    stamps: NDArray[np.datetime64] | None = None
    times: Times | None = None

    def row(self, position: int) -> int:
        """Where the row of a value stands in the table."""
        return self.rows.start + position if isinstance(self.rows, slice) else int(self.rows[position])

    def start(self, stamp: np.datetime64) -> str:
        """A stamp in ISO 8601, as the first time is written."""
        assert self.stamps is not None
        assert self.times is not None
        return _name_start(self.times, stamp - self.stamps[0])


def order(table: Table, number: int, rows: Rows, findings: list[Finding]) -> Ordered:
    """The rows of one series; what had to be changed is added to `findings`.

    Args: `number` is the series', `rows` are all of its rows.

    Raises:
        InvalidRequest: most rows share their time with another row that has another value.
    """
    name, values = table.ids[number], table.values[rows]
    if table.times is None:
        return Ordered(name, values, rows)
    wall = table.times.wall[rows]
    offsets = None if table.times.offsets is None else table.times.offsets[rows]
    own = Times(wall, offsets, table.times.zone)
    stamps = _find_regular(own)
    if (np.diff(stamps) < np.timedelta64(0)).any():
        findings.append(
            Finding("not_sorted", name, "Its time stamps are not in ascending order: the rows were sorted.")
        )
        by_time = np.argsort(stamps, kind="stable")
        rows, stamps, values = _take(rows, by_time), stamps[by_time], values[by_time]
        own = Times(wall[by_time], None if offsets is None else offsets[by_time], own.zone)
    message = _tell_offsets(own)
    if message is not None:
        findings.append(Finding("mixed_offsets", name, message))
    is_last = np.append(stamps[1:] != stamps[:-1], True)
    n_doubles = int((~is_last).sum())
    if n_doubles:
        # Two missing values differ in no way.
        differ = np.flatnonzero(~is_last[:-1] & (np.nan_to_num(values[1:]) != np.nan_to_num(values[:-1])))
        if n_doubles > MOST_DOUBLES * len(values) and len(differ) > MOST_DOUBLES * n_doubles:
            pair = differ[0] + np.arange(2)
            raise _refuse_doubles(table, _take(rows, pair), values[pair], name)
        double = str(stamps[np.argmin(is_last)].astype("datetime64[s]")).removesuffix("T00:00:00")
        message = (
            f"{n_doubles} time stamps occur more than once, the first of them {double}: the last row of each is used."
        )
        findings.append(Finding("duplicate_stamps", name, message))
        rows, stamps, values = _take(rows, np.flatnonzero(is_last)), stamps[is_last], values[is_last]
    return Ordered(name, values, rows, stamps, own)


def _take(rows: Rows, positions: NDArray[np.intp]) -> NDArray[np.intp]:
    return rows.start + positions if isinstance(rows, slice) else rows[positions]


def _refuse_doubles(table: Table, rows: NDArray[np.intp], values: NDArray[np.float64], name: str) -> InvalidRequest:
    """Args: `rows` [2] and `values` [2] are of one time."""
    assert table.times is not None
    when = _write(table.times.wall[rows[0]]).removesuffix("T00:00:00")
    first, second = (table.number_of(int(row)) for row in rows)
    message = (
        f"Row {first} holds {values[0]:.15g} and row {second} {values[1]:.15g}, both for {when}, and most rows of "
        f"series {name!r} have the time of another one. If they are of several series, name the column that tells them "
        "apart as id_column; if they are single sales, send their sum for each time."
    )
    return InvalidRequest.at("", "duplicate_stamps", message)


def _find_regular(times: Times) -> NDArray[np.datetime64]:
    """Wall times; but with clock changes, hours and shorter steps are regular in UTC alone."""
    if times.offsets is None or not _change(times.offsets) or _at_one_time_of_day(times.wall):
        return times.wall
    return np.asarray(times.wall - times.offsets.astype("timedelta64[s]"))


def _tell_offsets(times: Times) -> str | None:
    """What a person should know of how the times are taken."""
    if times.offsets is None or times.zone is not None or not _change(times.offsets):
        return None
    if _at_one_time_of_day(times.wall):
        return "Its time stamps have several offsets at one time of day: wall times are taken, without offsets."
    return "Its time stamps have several offsets: they are taken in UTC."


def _name_start(times: Times, shift: np.timedelta64) -> str:
    """The first time, moved by as much as its place on the grid is away."""
    text = _write(times.wall[0] + shift)
    if times.offsets is None:
        return text.removesuffix("T00:00:00")
    offset = int(times.offsets[0])
    if times.zone is not None:
        # Of a time that was moved, the zone alone knows the offset.
        return f"{text}{'' if shift else _format(offset)}[{times.zone}]"
    if not _change(times.offsets):
        return f"{text}{_format(offset)}"
    return text if _at_one_time_of_day(times.wall) else f"{_write(times.wall[0] - offset * _SECOND + shift)}Z"


def _write(stamp: np.datetime64) -> str:
    return str(stamp.astype("datetime64[s]") if stamp == stamp.astype("datetime64[s]") else stamp)


def _change(offsets: NDArray[np.int32]) -> bool:
    return bool((offsets != offsets[0]).any())


def _at_one_time_of_day(stamps: NDArray[np.datetime64]) -> bool:
    in_day = stamps - stamps.astype("datetime64[D]")
    return bool((in_day == in_day[0]).all())


def _format(offset: int) -> str:
    return "Z" if offset == 0 else format_offset(offset)
