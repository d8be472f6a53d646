"""From rows to series on regular grids, with what is odd about them."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Finding
from service.datasets.table import Table
from service.domain.frequency import DAY_SECONDS, infer, place
from service.domain.panel import Panel

# A series is not stretched over more points than this many times its own: a stamp a century off is an error, no gap.
MOST_STRETCH = 10
SLACK_POINTS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class _Sorted:
    """One series' rows in the order of time."""

    id: str
    stamps: NDArray[np.datetime64] | None
    offsets: NDArray[np.int32] | None
    values: NDArray[np.float64]


def make_panel(table: Table) -> tuple[Panel, list[Finding]]:
    """Sorts each series, keeps the last of equal stamps, fills gaps with NaN."""
    findings: list[Finding] = []
    if table.stamps is None:
        findings.append(
            Finding("no_times", None, "There is no column 'ds': rows are taken in their order, one step apart.")
        )
    series = [_sort(table, rows, findings) for rows in _rows_of(table)]
    freqs = [None if one.stamps is None else infer(one.stamps) for one in series]
    freq = _commonest(freqs)
    others = {name for name in freqs if name is not None} - {freq}
    if others:
        findings.append(
            Finding(
                "mixed_frequency",
                None,
                f"Most series are of frequency {freq!r}, {sum(name in others for name in freqs)} of "
                f"{', '.join(sorted(others)[:10])}. One model should learn from one frequency: send them apart.",
            )
        )
    gridded = [_grid(one, own, findings) for one, own in zip(series, freqs, strict=True)]
    ids = tuple(one.id for one in series)
    values, starts = tuple(one[0] for one in gridded), tuple(one[1] for one in gridded)
    return Panel(ids, values, starts, freq), findings


def _rows_of(table: Table) -> list[NDArray[np.intp]]:
    """The rows of each series, in the order of the file."""
    order = np.argsort(table.series, kind="stable")
    ends = np.cumsum(np.bincount(table.series, minlength=len(table.ids)))
    return np.split(order, ends[:-1])


def _sort(table: Table, rows: NDArray[np.intp], findings: list[Finding]) -> _Sorted:
    name, values = table.ids[table.series[rows[0]]], table.values[rows]
    if table.stamps is None:
        return _Sorted(name, None, None, values)
    stamps = table.stamps[rows]
    offsets = None if table.offsets is None else table.offsets[rows]
    if offsets is not None and (offsets != offsets[0]).any() and not _at_one_time_of_day(stamps):
        # Hours of a zone with clock changes are regular in UTC alone; days, all at one wall time, in wall time.
        stamps, offsets = stamps - offsets.astype("timedelta64[s]"), np.zeros_like(offsets)
        findings.append(Finding("mixed_offsets", name, "Its time stamps have several offsets: they are taken in UTC."))
    if (np.diff(stamps) < np.timedelta64(0)).any():
        findings.append(Finding("not_sorted", name, "Its time stamps don't ascend: the rows were sorted."))
        order = np.argsort(stamps, kind="stable")
        stamps, values = stamps[order], values[order]
        offsets = None if offsets is None else offsets[order]
    is_last = np.append(stamps[1:] != stamps[:-1], True)
    n_doubles = int((~is_last).sum())
    if n_doubles:
        findings.append(
            Finding("duplicate_stamps", name, f"{n_doubles} time stamps occur again: the last row of each counts.")
        )
        stamps, values = stamps[is_last], values[is_last]
        offsets = None if offsets is None else offsets[is_last]
    return _Sorted(name, stamps, offsets, values)


def _at_one_time_of_day(stamps: NDArray[np.datetime64]) -> bool:
    seconds = stamps.astype("datetime64[s]").astype(np.int64) % DAY_SECONDS
    return bool((seconds == seconds[0]).all())


def _commonest(freqs: list[str | None]) -> str | None:
    known = [freq for freq in freqs if freq is not None]
    return Counter(known).most_common(1)[0][0] if known else None


def _grid(one: _Sorted, freq: str | None, findings: list[Finding]) -> tuple[NDArray[np.float64], str | None]:
    """A series' values on its grid, and the time of the first."""
    if one.stamps is None:
        return one.values, None
    start = _format(one.stamps[0], None if one.offsets is None else int(one.offsets[0]))
    if freq is None:
        if len(one.stamps) >= 3:
            findings.append(
                Finding(
                    "irregular",
                    one.id,
                    "Its time stamps are irregular: its points are taken one after another.",
                )
            )
        return one.values, start
    places = place(one.stamps, freq)
    known = places >= 0
    if not known.all():
        findings.append(
            Finding(
                "off_grid",
                one.id,
                f"{int((~known).sum())} time stamps are out of step with {freq!r}: left out.",
            )
        )
    length = int(places[known].max()) + 1
    if length > MOST_STRETCH * len(places) + SLACK_POINTS:
        findings.append(
            Finding(
                "gaps",
                one.id,
                f"From its first to its last time stamp are {length} steps of {freq!r}, but it has "
                f"{len(places)}. Its points are taken one after another.",
            )
        )
        return one.values, start
    values = np.full(length, np.nan)
    values[places[known]] = one.values[known]
    n_missing = length - int(known.sum())
    if n_missing:
        findings.append(
            Finding("gaps", one.id, f"{n_missing} of {length} time stamps of frequency {freq!r} are not there.")
        )
    return values, start


def _format(stamp: np.datetime64, offset: int | None) -> str:
    """ISO 8601; a date alone at midnight without a zone."""
    text = str(stamp.astype("datetime64[s]"))
    if offset is None:
        return text.removesuffix("T00:00:00")
    if offset == 0:
        return f"{text}Z"
    hours, minutes = divmod(abs(offset) // 60, 60)
    return f"{text}{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"
