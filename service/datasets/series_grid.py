"""Puts rows onto regular time grids as series, with findings.

Of a file that is larger than memory should be nothing is kept of a series from one look to the next but the name of its
frequency: its rows are put in order again.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import BoundedFindings, Finding
from service.datasets.row_order import Ordered, order
from service.datasets.table import Table
from service.datasets.upload_limits import UploadLimits
from service.domain.frequency import WEEKDAY_NAMES, check_frequency, family, parse, same
from service.domain.frequency_grid import anchor, name
from service.domain.frequency_inference import GridFit, fit
from service.domain.panel import Panel
from service.domain.time_grids import Grid, MonthGrid, Stamps
from service.errors import InvalidRequest

# A series is not stretched over more points than this many times its own: a stamp a century off is an error, no gap.
MOST_STRETCH = 10
SLACK_POINTS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Gridded:
    """A panel, how many points of each series have no row in the file, and what was found on the way."""

    panel: Panel
    n_absent: tuple[int, ...]
    findings: list[Finding]


@dataclass(frozen=True, slots=True, eq=False)
class GriddedSeries:
    """One series on its grid; `start` is None where its times don't follow from the panel's frequency.

    `n_absent` points have no row in the file; `find_row` gives the number of the row in the file that a point is from.
    """

    id: str
    values: NDArray[np.float64]
    start: str | None
    n_absent: int
    find_row: Callable[[int], int]


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What a series' own stamps show: no `fit` if they are irregular or too few; `freq` is the name of its grid."""

    fit: GridFit | None = None
    freq: str | None = None


def make_grids(table: Table, limits: UploadLimits, freq: str | None = None) -> Gridded:
    """Sorts each series by its times, keeps the last of equal stamps, fills gaps with NaN.

    Args:
        freq: the frequency that was given; None to infer it from the time stamps.

    Raises:
        InvalidRequest: with the gaps there are too many points; the stamps contradict `freq`.
    """
    series: list[GriddedSeries] = []
    freq, findings = grid_each(table, limits, freq, series.append)
    values, starts = tuple(each.values for each in series), tuple(each.start for each in series)
    panel = Panel(tuple(each.id for each in series), values, starts, freq)
    return Gridded(panel, tuple(each.n_absent for each in series), findings)


def grid_each(
    table: Table, limits: UploadLimits, freq: str | None, take: Callable[[GriddedSeries], None]
) -> tuple[str | None, list[Finding]]:
    """As `make_grids`, with each series given to `take` when it is done. Returns the frequency and what was found."""
    if freq is not None:
        check_frequency(freq)
    findings: list[Finding] = BoundedFindings()
    if table.times is None:
        findings.append(
            Finding("no_times", None, "There is no column 'ds': the rows are read in their order, one step apart.")
        )
    else:
        findings += [Finding(code, None, message) for code, message in table.times.findings]
    source = _Source(table, findings)
    names = _Names()
    for _, own in source:
        names.add(own)
    asked = freq
    if asked is not None:
        names = _Names()
        for ordered, own in source:
            names.add(_apply(asked, ordered, own))
    freq = _commonest(names.freqs)
    common = None if freq is None else names.first_grids[family(freq)]

    def settle(ordered: Ordered, own: _Found) -> _Found:
        own = own if asked is None else _apply(asked, ordered, own)
        return own if freq is None or common is None else _adopt(ordered, own, freq, common)

    if freq is not None:
        for i, known in enumerate(names.freqs):
            if known != freq:
                names.freqs[i] = settle(*source.get(i)).freq
        findings += _mixed(names.freqs, freq) + _closed_days(freq)
    n_points = 0
    for ordered, own in source:
        track = _grid(table, ordered, settle(ordered, own), freq, findings)
        n_points += len(track.values)
        limits.check_points(n_points)
        take(track)
    return freq, findings


class _Source:
    """The series of a table in order, each with its own grid: found at the first look, and again where not kept."""

    def __init__(self, table: Table, findings: list[Finding]) -> None:
        self._table = table
        self._findings = findings
        self._rows = table.rows_by_series()
        self._kept: list[tuple[Ordered, _Found]] | None = [] if table.bounds is None else None
        self._looks = 0
        # Most of a file's series have the same stamps: they are looked at once.
        self._last: tuple[Stamps, _Found] | None = None

    def __iter__(self) -> Iterator[tuple[Ordered, _Found]]:
        self._looks += 1
        if self._looks > 1 and self._kept is not None:
            yield from self._kept
            return
        for i in range(len(self._rows)):
            pair = self._look(i, self._findings if self._looks == 1 else [])
            if self._kept is not None:
                self._kept.append(pair)
            yield pair

    def get(self, number: int) -> tuple[Ordered, _Found]:
        """A series, once all were looked at."""
        return self._look(number, []) if self._kept is None else self._kept[number]

    def _look(self, number: int, findings: list[Finding]) -> tuple[Ordered, _Found]:
        ordered = order(self._table, number, self._rows[number], findings)
        if ordered.stamps is None:
            return ordered, _Found()
        if self._last is None or not np.array_equal(self._last[0], ordered.stamps):
            own = fit(ordered.stamps)
            self._last = ordered.stamps, _Found(own, None if own is None else own.freq)
        return ordered, self._last[1]


class _Names:
    """The frequencies of series, and of each family of them the first grid."""

    def __init__(self) -> None:
        self.freqs: list[str | None] = []
        self.first_grids: dict[str, Grid] = {}

    def add(self, own: _Found) -> None:
        self.freqs.append(own.freq)
        if own.fit is not None:
            self.first_grids.setdefault(family(own.freq or ""), own.fit.grid)


def _apply(freq: str, ordered: Ordered, own: _Found) -> _Found:
    """The frequency that the sender says, for stamps that have it. Raises InvalidRequest where they have another."""
    if ordered.stamps is None:
        return own
    if own.freq is not None:
        if same(freq, own.freq):
            return own
        raise _contradict(ordered, freq, f"are of frequency {own.freq!r}", f"Leave it out, or say {own.freq!r}.")
    try:
        grid = anchor(freq, ordered.stamps[0])
    except InvalidRequest as error:
        raise InvalidRequest.at("/freq", "frequency_mismatch", error.flaws[0].message) from error
    places = grid.find(ordered.stamps)
    astray = np.flatnonzero(grid.at(places) != ordered.stamps)
    if len(astray):
        begin, stray = _show(ordered.stamps[0]), _show(ordered.stamps[astray[0]])
        raise _contradict(
            ordered, freq, f"begin at {begin}, and {stray} is not on it", "Leave it out, or correct the time stamps."
        )
    return _Found(GridFit(grid, places, np.zeros(len(places), bool)), name(grid))


def _contradict(ordered: Ordered, freq: str, what: str, remedy: str) -> InvalidRequest:
    message = f"The time stamps of series {ordered.id!r} {what}, but the frequency {freq!r} was asked for. {remedy}"
    return InvalidRequest.at("/freq", "frequency_mismatch", message)


def _commonest(freqs: list[str | None]) -> str | None:
    """The frequency of most series; without the weekday or month where they differ in it: each start has its own."""
    counts = Counter(freq for freq in freqs if freq is not None)
    if not counts:
        return None
    families = Counter(family(freq) for freq in counts.elements())
    common = families.most_common(1)[0][0]
    names = [freq for freq in counts if family(freq) == common]
    return names[0] if len(names) == 1 else common


def _adopt(ordered: Ordered, own: _Found, freq: str, common: Grid) -> _Found:
    """The panel's frequency for a series that lies on it: of a few stamps another one, or none, may have been told.

    Args:
        common: the grid of a series of this frequency; days of the month are as there.
    """
    if ordered.stamps is None or (own.freq in (None, freq) and len(ordered.stamps) > 2):
        return own
    if own.freq is not None and family(own.freq) == freq:
        return _Found(own.fit, freq)
    try:
        grid = anchor(freq, ordered.stamps[0])
    except InvalidRequest:
        return own
    if isinstance(grid, MonthGrid) and isinstance(common, MonthGrid):
        grid = replace(grid, rule=common.rule)
    places = grid.find(ordered.stamps)
    is_on_grid = bool((grid.at(places) == ordered.stamps).all())
    if not is_on_grid or (own.fit is not None and places[-1] > own.fit.places.max()):
        return own
    return _Found(GridFit(grid, places, np.zeros(len(places), bool)), freq)


def _mixed(freqs: list[str | None], freq: str) -> list[Finding]:
    others = Counter(name for name in freqs if name not in (None, freq))
    if not others:
        return []
    named = ", ".join(f"{count} of {other!r}" for other, count in others.most_common(10))
    message = (
        f"Most series are of frequency {freq!r}, {named}. Those have no time stamps here, and one model should learn "
        "from one frequency: send them apart."
    )
    return [Finding("mixed_frequency", None, message)]


def _closed_days(freq: str) -> list[Finding]:
    frequency = parse(freq)
    if frequency.unit != "C" or frequency.open_days is None:
        return []
    closed = [f"{day}s" for day, digit in zip(WEEKDAY_NAMES, frequency.open_days, strict=True) if digit == "0"]
    message = (
        f"There are no rows on {' and '.join(closed)}: these days count as closed, no points are missing there, and "
        f"none are forecast (frequency {freq!r})."
    )
    return [Finding("closed_days", None, message)]


def _grid(table: Table, ordered: Ordered, own: _Found, freq: str | None, findings: list[Finding]) -> GriddedSeries:
    """Args: `freq` is the panel's."""

    def find_row(index: int) -> int:
        return table.number_of(ordered.row(index))

    as_it_is = GriddedSeries(ordered.id, ordered.values, None, 0, find_row)
    if ordered.stamps is None:
        return as_it_is
    if own.fit is None:
        if len(ordered.stamps) == 2:
            message = "Two time stamps don't show a frequency: its points are read as consecutive."
            findings.append(Finding("irregular", ordered.id, message))
        elif len(ordered.stamps) > 2:
            message = "Its time stamps are irregular: its points are read as consecutive."
            findings.append(Finding("irregular", ordered.id, message))
        return as_it_is
    places, own_freq = own.fit.places, own.freq
    known = places >= 0
    length = int(places[known].max()) + 1
    if length > MOST_STRETCH * len(places) + SLACK_POINTS:
        message = (
            f"From its first to its last time stamp are {length} steps of {own_freq!r}, but it has {len(places)}. Its "
            "points are taken one after another."
        )
        findings.append(Finding("gaps", ordered.id, message))
        return as_it_is
    values = np.full(length, np.nan)
    values[places[known]] = ordered.values[known]
    n_strays, n_absent = int((~known).sum()), length - int(known.sum())
    if own.fit.is_late.any():
        findings.append(Finding("late_stamp", ordered.id, _tell_late(own.fit, ordered.stamps, own_freq)))
    if n_strays:
        stray = ordered.stamps[np.flatnonzero(~known)[0]]
        message = (
            f"{n_strays} time stamps are out of step with {own_freq!r}, and the places beside them are taken: left "
            f"out. The first is {_show(stray)}."
        )
        findings.append(Finding("off_grid", ordered.id, message))
    if n_absent:
        message = f"{n_absent} of {length} time stamps of frequency {own_freq!r} are missing."
        findings.append(Finding("gaps", ordered.id, message))
    start = ordered.start(own.fit.grid.at(np.zeros(1, np.int64))[0]) if own_freq == freq else None

    def find_row_of_place(index: int) -> int:
        return find_row(int(np.flatnonzero(places == index)[0]))

    return GriddedSeries(ordered.id, values, start, n_absent, find_row_of_place)


def _tell_late(grid_fit: GridFit, stamps: Stamps, freq: str | None) -> str:
    late = np.flatnonzero(grid_fit.is_late)
    place = grid_fit.grid.at(grid_fit.places[late[:1]])[0]
    return (
        f"{len(late)} time stamps are a little off the frequency {freq!r}, and were put on the place beside them: "
        f"{_show(stamps[late[0]])} counts as {_show(place)}."
    )


def _show(stamp: np.datetime64) -> str:
    return str(stamp).removesuffix(".000000").removesuffix("T00:00:00")
