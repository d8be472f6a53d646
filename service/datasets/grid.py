"""From rows to series on regular grids, with what is odd about them."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Finding
from service.datasets.limits import Limits
from service.datasets.ordering import Ordered, order
from service.datasets.table import Table
from service.domain.calendar import future_timestamps
from service.domain.frequency import REGULAR_SHARE, infer, place
from service.domain.panel import Panel

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
class _Track:
    """One series on its grid; `start` is None where its times don't follow from the panel's frequency."""

    values: NDArray[np.float64]
    start: str | None
    n_absent: int


def make_grids(table: Table, limits: Limits) -> Gridded:
    """Sorts each series by its times, keeps the last of equal stamps, fills gaps with NaN.

    Raises:
        InvalidRequest: with the gaps there are too many points.
    """
    findings: list[Finding] = []
    if table.times is None:
        findings.append(
            Finding("no_times", None, "There is no column 'ds': rows are taken in their order, one step apart.")
        )
    series = [order(table, rows, findings) for rows in _rows_of(table)]
    freqs = [None if one.stamps is None else infer(one.stamps) for one in series]
    freq = _commonest(freqs)
    findings += _mixed(freqs, freq)
    tracks: list[_Track] = []
    n_points = 0
    for one, own in zip(series, freqs, strict=True):
        tracks.append(_grid(one, own, freq, findings))
        n_points += len(tracks[-1].values)
        limits.check_points(n_points)
    ids, values = tuple(one.id for one in series), tuple(one.values for one in tracks)
    panel = Panel(ids, values, tuple(one.start for one in tracks), freq)
    return Gridded(panel, tuple(one.n_absent for one in tracks), findings)


def _rows_of(table: Table) -> list[NDArray[np.intp]]:
    """The rows of each series, in the order of the file."""
    by_series = np.argsort(table.series, kind="stable")
    ends = np.cumsum(np.bincount(table.series, minlength=len(table.ids)))
    return np.split(by_series, ends[:-1])


def _commonest(freqs: list[str | None]) -> str | None:
    known = [freq for freq in freqs if freq is not None]
    return Counter(known).most_common(1)[0][0] if known else None


def _mixed(freqs: list[str | None], freq: str | None) -> list[Finding]:
    others = Counter(name for name in freqs if name not in (None, freq))
    if not others:
        return []
    named = ", ".join(f"{count} of {name!r}" for name, count in others.most_common(10))
    message = (
        f"Most series are of frequency {freq!r}, {named}. Those have no time stamps here, and one model should learn "
        "from one frequency: send them apart."
    )
    return [Finding("mixed_frequency", None, message)]


def _grid(one: Ordered, own: str | None, freq: str | None, findings: list[Finding]) -> _Track:
    """Args: `own` is the series' frequency, `freq` the panel's."""
    as_it_is = _Track(one.values, None, 0)
    if one.stamps is None:
        return as_it_is
    if own is None and freq is not None and len(one.stamps) < 3 and _begins_on_grid(one.stamps[0], freq):
        # Too few stamps to tell by themselves.
        own = freq
    places = None if own is None else place(one.stamps, own)
    if places is None or (places >= 0).mean() < REGULAR_SHARE:
        if len(one.stamps) > 1:
            message = "Its time stamps are irregular: its points are taken one after another."
            findings.append(Finding("irregular", one.id, message))
        return as_it_is
    known = places >= 0
    length = int(places[known].max()) + 1
    if length > MOST_STRETCH * len(places) + SLACK_POINTS:
        message = (
            f"From its first to its last time stamp are {length} steps of {own!r}, but it has {len(places)}. Its "
            "points are taken one after another."
        )
        findings.append(Finding("gaps", one.id, message))
        return as_it_is
    values = np.full(length, np.nan)
    values[places[known]] = one.values[known]
    n_strays, n_absent = int((~known).sum()), length - int(known.sum())
    if n_strays:
        message = f"{n_strays} time stamps are out of step with {own!r}: left out."
        findings.append(Finding("off_grid", one.id, message))
    if n_absent:
        message = f"{n_absent} of {length} time stamps of frequency {own!r} are not there."
        findings.append(Finding("gaps", one.id, message))
    return _Track(values, one.start if own == freq else None, n_absent)


def _begins_on_grid(stamp: np.datetime64, freq: str) -> bool:
    """Whether a time can be the first of a frequency: a month's first day, that weekday."""
    text = str(stamp.astype("datetime64[us]"))
    return bool(np.datetime64(future_timestamps(freq, text, 0, 1)[0]) == stamp)
