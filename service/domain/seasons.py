"""Season, horizon and window from the frequency and the lengths of series, where a person has not chosen them."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_SEASON = 336
# Points of the season that a frequency usually has: the week of days, the day of hours, the year of months.
_SEASONS = {
    "D": 7, "B": 5, "W": 52, "MS": 12, "ME": 12, "M": 12, "QS": 4, "QE": 4, "Q": 4, "h": 24, "H": 24,
}  # fmt: skip
_MINUTES = {"min": 1, "T": 1}
_MINUTES_A_DAY = 1440
_FREQ = re.compile(r"(?P<count>\d+)?(?P<unit>[A-Za-z]+)")

# A window of several short seasons shows the pattern through the noise; of long ones two or three are points enough.
_SEASONS_IN_WINDOW = ((12, 4), (52, 3), (MAX_SEASON, 2))
# The Theta method looks further back, for the season and the trend: so many seasons, or times four points.
_SEASONS_OF_THETA = 12
_UNIT_WITHOUT_SEASON = 4
_MOST_OF_THETA = 168
_HORIZON_WITHOUT_SEASON = 6
_WINDOW_WITHOUT_SEASON = 3  # horizons


def usual_season(freq: str | None) -> int:
    """Points of the season that comes with a frequency (a pandas offset alias): 7 for `D`, 48 for `30min`; else 1."""
    match = _FREQ.match(freq or "")
    if match is None:
        return 1
    count, unit = int(match["count"] or 1), match["unit"]
    points = _MINUTES_A_DAY if unit in _MINUTES else _SEASONS.get(unit, 1)
    season = points // count if points % count == 0 else 1
    # Of single minutes a day is too long a season to learn, an hour is not.
    return season if season <= MAX_SEASON else 60 // count if 60 % count == 0 else 1


def choose_season(freq: str | None, lengths: NDArray[np.int64] | Sequence[int]) -> int:
    """The usual season, or 1 where most series hold less than two and a half of it: it could not be learnt."""
    season = usual_season(freq)
    return season if np.median(lengths) >= 2.5 * season else 1


def choose_horizon(season: int, lengths: NDArray[np.int64] | Sequence[int]) -> int:
    """Two seasons, or one of a long season, but no more than a fifth of a short series (its lower quartile)."""
    wanted = _HORIZON_WITHOUT_SEASON if season == 1 else 2 * season if season <= 12 else season
    return int(max(1, min(wanted, np.quantile(lengths, 0.25) // 5)))


def choose_window(season: int, horizon: int, lengths: NDArray[np.int64] | Sequence[int]) -> int:
    """Whole seasons that hold twice the horizon, as far as the longest series go with two horizons held out."""
    if season == 1:
        wanted = max(_WINDOW_WITHOUT_SEASON * horizon, 8)
    else:
        n_seasons = next(n for longest, n in _SEASONS_IN_WINDOW if season <= longest)
        wanted = season * max(n_seasons, -(-2 * horizon // season))
    return int(max(1, min(wanted, np.quantile(lengths, 0.9) - 2 * horizon)))


def choose_theta_window(season: int) -> int:
    """Twelve seasons, as far as 168 points hold them, two at least. Series may be shorter."""
    unit = season if season > 1 else _UNIT_WITHOUT_SEASON
    return max(min(_SEASONS_OF_THETA * unit, _MOST_OF_THETA), 2 * season)


def whole_seasons(points: float, season: int) -> int:
    """The nearest count of points that is whole seasons, one at least."""
    return max(1, round(points / season)) * season
