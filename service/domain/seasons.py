"""The seasons of a series: those that come with its frequency, or that are named, or found in it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.recipes.season_defaults import (
    LONG_SEASONS_NEEDED,
    POINTS_READ_WITHOUT_SEASON,
    SEASONS_READ,
    WEEKS,
    WEEKS_READ,
    longer_season,
    usual_season,
)
from service.domain.season_detection import detect_all_seasons

MOST_POINTS_READ = 4096


class Seasons(NamedTuple):
    """A season in points, 1 for none; and a longer one, a multiple of it, 0 for none."""

    short: int
    long: int = 0

    @property
    def points_read(self) -> int:
        """How many of a series' last points tell what is to be known of it."""
        if self.short == 1:
            return POINTS_READ_WITHOUT_SEASON
        n_seasons = WEEKS_READ if self.short in WEEKS else SEASONS_READ
        return min(max(n_seasons * self.short, SEASONS_READ * self.long), MOST_POINTS_READ)


NO_SEASON = Seasons(1)


def find_seasons(values: NDArray[np.float64], *, season: int | None = None, freq: str | None = None) -> Seasons:
    """The seasons of a series [time].

    A season that is named is taken; without one that of the frequency; without either, what stands out in the series.
    A longer one comes along where the series holds enough of it: the week of hours, the year of days.
    """
    return find_all_seasons([values], season=season, freq=freq)[0]


def find_all_seasons(
    rows: Sequence[NDArray[np.float64]], *, season: int | None = None, freq: str | None = None
) -> list[Seasons]:
    """As `find_seasons` of each series."""
    if freq is not None:
        found = [_of_frequency(freq, season)] * len(rows)
    elif season == 1:
        found = [(1, 0)] * len(rows)
    else:
        found = detect_all_seasons(rows)
        if season is not None:
            # The week of a day that was named in points.
            found = [(season, long if short == season else 0) for short, long in found]
    return [
        Seasons(short, long if len(values) >= LONG_SEASONS_NEEDED * long + short else 0)
        for values, (short, long) in zip(rows, found, strict=True)
    ]


@lru_cache(256)
def _of_frequency(freq: str, season: int | None) -> tuple[int, int]:
    """The usual season of a frequency, or one that is named, and the season beyond it."""
    short = usual_season(freq) if season is None else season
    return short, longer_season(freq, short)
