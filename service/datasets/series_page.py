"""A part of an upload's series, as large as one answer may be."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.datasets.panel_files import Outline
from service.domain.calendar import STAMP_VALUES, future_timestamps
from service.errors import InvalidRequest, SeriesNotFound

_CURSOR = re.compile(r"[0-9]{1,9}\Z")


class SeriesRecord(NamedTuple):
    """One series with its place in time: `values` [time] are NaN where missing, `freq` and `start` None if unknown."""

    id: str
    values: NDArray[np.float64]
    freq: str | None
    start: str | None

    @property
    def has_stamps(self) -> bool:
        """Whether all points have a time."""
        return _has_stamps(self.freq, self.start, len(self.values))

    def timestamps(self, first: int, count: int) -> list[str]:
        """The times of `count` points from the point `first` on, where they have any."""
        assert self.freq is not None
        assert self.start is not None
        return future_timestamps(self.freq, self.start, first, count)


@dataclass(frozen=True, slots=True)
class SeriesPage:
    """Which series an answer holds: their places in the upload, ascending, and the cursor of the next page."""

    places: tuple[int, ...]
    n_values: int
    n_stamps: int
    next_cursor: str | None


def choose_page(
    outline: Outline, ids: Collection[str], *, limit: int, cursor: str | None, max_values: int, full_values: int
) -> SeriesPage:
    """The next series of an upload, in its order, up to a number of series and about a number of values.

    Args:
        ids: only series of these; empty for all.
        limit: the most series.
        cursor: `next_cursor` of the page before.
        max_values: the most numbers that an answer may hold; a time stamp counts as `STAMP_VALUES`.
        full_values: a page that would hold more ends before the series that makes it so, unless it is the only one.

    Raises:
        SeriesNotFound: the upload has no series of one of the ids.
        InvalidRequest: the cursor is not one of ours, or one series alone is too large for an answer.
    """
    first = _read_cursor(outline, cursor)
    chosen: Sequence[int] = range(first, len(outline.ids))
    if ids:
        places = {name: place for place, name in enumerate(outline.ids)}
        for name in ids:
            if name not in places:
                raise SeriesNotFound(
                    f"The data set has no series {_show(name)}. Its ids are those of GET /datasets/{{id}}/series "
                    "without `id`."
                )
        chosen = sorted({places[name] for name in ids if places[name] >= first})
    taken: list[int] = []
    n_values = n_stamps = 0
    for place in chosen[:limit]:
        length = outline.lengths[place]
        stamps = length if _has_stamps(*_times(outline, place), length) else 0
        size = length + STAMP_VALUES * stamps
        if size > max_values:
            if taken:
                break
            raise _too_large(outline, place, size, max_values)
        if taken and n_values + STAMP_VALUES * n_stamps + size > min(max_values, full_values):
            break
        taken.append(place)
        n_values += length
        n_stamps += stamps
    rest = chosen[len(taken) :]
    return SeriesPage(tuple(taken), n_values, n_stamps, str(rest[0]) if rest else None)


def join_page(outline: Outline, page: SeriesPage, values: Sequence[NDArray[np.float64]]) -> list[SeriesRecord]:
    """The series of a page; `values` are theirs, in the same order."""
    return [
        SeriesRecord(outline.ids[place], series, *_times(outline, place))
        for place, series in zip(page.places, values, strict=True)
    ]


def _read_cursor(outline: Outline, cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not _CURSOR.match(cursor) or int(cursor) >= len(outline.ids):
        raise InvalidRequest.at(
            "/cursor",
            "bad_cursor",
            "The cursor is invalid: use the `next_cursor` of a list, or leave it out to start from the beginning.",
        )
    return int(cursor)


def _too_large(outline: Outline, place: int, size: int, max_values: int) -> InvalidRequest:
    onward = f"Go on behind it with cursor={place + 1}" if place + 1 < len(outline.ids) else "Ask for other series"
    return InvalidRequest.at(
        "/limit",
        "answer_too_large",
        f"The series {_show(outline.ids[place])} alone has {outline.lengths[place]} points, which count as {size} "
        f"numbers (a time stamp as {STAMP_VALUES}): expected at most {max_values} in one answer. {onward}, or raise "
        "OUTFIELDER_MAX_ANSWER_VALUES and OUTFIELDER_MAX_IN_FLIGHT_BYTES on the server.",
    )


def _show(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:60] + "...")


def _times(outline: Outline, place: int) -> tuple[str | None, str | None]:
    """A series' frequency and start.

    Where some series have a start, the others are of another frequency, or have no times at all.
    """
    start = outline.starts[place]
    return (None if start is None and outline.has_starts else outline.freq), start


def _has_stamps(freq: str | None, start: str | None, length: int) -> bool:
    """Whether all points of a series have a time; a posted series may lead past the year 9999."""
    if freq is None or start is None or not length:
        return False
    try:
        future_timestamps(freq, start, length - 1, 1)
    except InvalidRequest:
        return False
    return True
