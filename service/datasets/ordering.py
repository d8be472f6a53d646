"""One series' rows in the order of time, each time once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Finding
from service.datasets.table import Table
from service.datasets.times import Times
from service.domain.frequency import DAY_SECONDS


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """`stamps` [rows] ascend and are regular where the series is: wall times, or times in UTC. None without times.

    `start` is the first time in ISO 8601.
    """

    id: str
    values: NDArray[np.float64]
    stamps: NDArray[np.datetime64] | None = None
    start: str | None = None


def order(table: Table, rows: NDArray[np.intp], findings: list[Finding]) -> Ordered:
    """The rows of one series; what had to be changed is added to `findings`."""
    name, values = table.ids[table.series[rows[0]]], table.values[rows]
    if table.times is None:
        return Ordered(name, values)
    wall = table.times.wall[rows]
    offsets = None if table.times.offsets is None else table.times.offsets[rows]
    own = Times(wall, offsets, table.times.zone)
    stamps = _find_regular(own)
    if (np.diff(stamps) < np.timedelta64(0)).any():
        findings.append(Finding("not_sorted", name, "Its time stamps don't ascend: the rows were sorted."))
        by_time = np.argsort(stamps, kind="stable")
        stamps, values = stamps[by_time], values[by_time]
        own = Times(wall[by_time], None if offsets is None else offsets[by_time], own.zone)
    start, message = _name_start(own)
    if message is not None:
        findings.append(Finding("mixed_offsets", name, message))
    is_last = np.append(stamps[1:] != stamps[:-1], True)
    n_doubles = int((~is_last).sum())
    if n_doubles:
        message = f"{n_doubles} time stamps occur again: the last row of each counts."
        findings.append(Finding("duplicate_stamps", name, message))
        stamps, values = stamps[is_last], values[is_last]
    return Ordered(name, values, stamps, start)


def _find_regular(times: Times) -> NDArray[np.datetime64]:
    """Wall times; but with clock changes, hours and shorter steps are regular in UTC alone."""
    if times.offsets is None or not _change(times.offsets) or _at_one_time_of_day(times.wall):
        return times.wall
    return np.asarray(times.wall - times.offsets.astype("timedelta64[s]"))


def _name_start(times: Times) -> tuple[str, str | None]:
    """The first time, and what a person should know of how it is written."""
    text = str(times.wall[0].astype("datetime64[s]"))
    if times.offsets is None:
        return text.removesuffix("T00:00:00"), None
    offset = int(times.offsets[0])
    if times.zone is not None:
        return f"{text}{_format(offset)}[{times.zone}]", None
    if not _change(times.offsets):
        return f"{text}{_format(offset)}", None
    if _at_one_time_of_day(times.wall):
        return text, "Its time stamps have several offsets at one time of day: wall times are taken, without offsets."
    utc = times.wall[0] - np.timedelta64(offset, "s")
    return f"{utc.astype('datetime64[s]')}Z", "Its time stamps have several offsets: they are taken in UTC."


def _change(offsets: NDArray[np.int32]) -> bool:
    return bool((offsets != offsets[0]).any())


def _at_one_time_of_day(stamps: NDArray[np.datetime64]) -> bool:
    seconds = stamps.astype("datetime64[s]").astype(np.int64) % DAY_SECONDS
    return bool((seconds == seconds[0]).all())


def _format(offset: int) -> str:
    """Seconds ahead of UTC in ISO 8601."""
    if offset == 0:
        return "Z"
    minutes, seconds = divmod(abs(offset), 60)
    # Before clocks were set by zones, offsets had seconds.
    rest = f":{seconds:02}" if seconds else ""
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}{rest}"
