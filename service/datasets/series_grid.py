"""Puts rows onto regular time grids as series, with findings."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Finding
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
class _GriddedSeries:
    """One series on its grid; `start` is None where its times don't follow from the panel's frequency."""

    values: NDArray[np.float64]
    start: str | None
    n_absent: int


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
    if freq is not None:
        check_frequency(freq)
    findings: list[Finding] = []
    if table.times is None:
        findings.append(
            Finding("no_times", None, "There is no column 'ds': the rows are read in their order, one step apart.")
        )
    else:
        findings += [Finding(code, None, message) for code, message in table.times.findings]
    series = [order(table, rows, findings) for rows in _rows_of(table)]
    fits = _fit_all(series)
    if freq is not None:
        fits = [_apply(freq, ordered, own) for ordered, own in zip(series, fits, strict=True)]
    freq = _commonest([own.freq for own in fits])
    if freq is not None:
        common = next(own.fit.grid for own in fits if own.fit is not None and family(own.freq or "") == family(freq))
        fits = [_adopt(ordered, own, freq, common) for ordered, own in zip(series, fits, strict=True)]
        findings += _mixed([own.freq for own in fits], freq) + _closed_days(freq)
    tracks: list[_GriddedSeries] = []
    n_points = 0
    for ordered, own in zip(series, fits, strict=True):
        tracks.append(_grid(ordered, own, freq, findings))
        n_points += len(tracks[-1].values)
        limits.check_points(n_points)
    ids, values = tuple(ordered.id for ordered in series), tuple(track.values for track in tracks)
    panel = Panel(ids, values, tuple(track.start for track in tracks), freq)
    return Gridded(panel, tuple(track.n_absent for track in tracks), findings)


def _rows_of(table: Table) -> list[NDArray[np.intp]]:
    """The rows of each series, in the order of the file."""
    by_series = np.argsort(table.series, kind="stable")
    ends = np.cumsum(np.bincount(table.series, minlength=len(table.ids)))
    return np.split(by_series, ends[:-1])


def _fit_all(series: list[Ordered]) -> list[_Found]:
    """Each series' own grid. Most of a file's series have the same stamps: they are looked at once."""
    fits: list[_Found] = []
    known: Stamps | None = None
    for ordered in series:
        if ordered.stamps is None:
            fits.append(_Found())
        elif known is not None and np.array_equal(known, ordered.stamps):
            fits.append(fits[-1])
        else:
            known, own = ordered.stamps, fit(ordered.stamps)
            fits.append(_Found(own, None if own is None else own.freq))
    return fits


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


def _grid(ordered: Ordered, own: _Found, freq: str | None, findings: list[Finding]) -> _GriddedSeries:
    """Args: `freq` is the panel's."""
    as_it_is = _GriddedSeries(ordered.values, None, 0)
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
    return _GriddedSeries(values, start, n_absent)


def _tell_late(grid_fit: GridFit, stamps: Stamps, freq: str | None) -> str:
    late = np.flatnonzero(grid_fit.is_late)
    place = grid_fit.grid.at(grid_fit.places[late[:1]])[0]
    return (
        f"{len(late)} time stamps are a little off the frequency {freq!r}, and were put on the place beside them: "
        f"{_show(stamps[late[0]])} counts as {_show(place)}."
    )


def _show(stamp: np.datetime64) -> str:
    return str(stamp).removesuffix(".000000").removesuffix("T00:00:00")
