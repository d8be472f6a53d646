"""The season of a series that nobody has named: found by its correlation with itself, and tested against noise.

Candidates are the lags where the series, or its differences, are like themselves most, and those of the calendar. Each
is tested as in an analysis of variance: whether the mean pattern over its phases is larger than what the scatter from
one cycle to the next explains. Neighbouring phases of smooth noise are alike, so they count as fewer.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Quarters, open days, days, months, hours and half-hours of a day, weeks, quarter-hours of a day, hours of a week.
CALENDAR = (4, 5, 7, 12, 24, 48, 52, 96, 168, 336)
# The week of what is measured so often a day, and the day in it. A fortnight of hours is as long as a week of
# half-hours: the day tells which it is.
DAYS = 7
DAYS_OF_WEEKS = {168: (24,), 336: (48, 24)}
# What a longer season must explain of what the shorter one leaves.
LEAST_LONG_SHARE = 0.1
FEWEST_POINTS = 8
# Of longer series the last points are looked at.
MOST_POINTS = 2048
LONGEST_SEASON = 400
PEAKS = 3
# How many standard deviations of its distribution under noise a pattern must exceed; candidates are picked, so more
# than for a single test.
DEVIATIONS = 4.5
# What a season that no calendar knows must explain more.
UNUSUAL_SHARE = 0.85
# A shorter season is taken where it explains nearly as much; a day where it explains much of its week.
NEARLY = 0.92
PART = 0.75
# Numbers whose differences are rounding.
ROUNDING = 1e-9
# Points that are looked at together.
POINTS_AT_ONCE = 1 << 18


def detect_seasons(values: Array) -> tuple[int, int]:
    """The season of a series [time], and a longer one that is a multiple of it where there is one, else 0."""
    return detect_all_seasons([values])[0]


def detect_all_seasons(rows: Sequence[Array]) -> list[tuple[int, int]]:
    """As `detect_seasons` of each series; those of one length are looked at together, which is many times as fast."""
    found = [(1, 0)] * len(rows)
    places: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        n = min(len(row), MOST_POINTS)
        if n >= FEWEST_POINTS:
            places.setdefault(n, []).append(i)
    for n, alike in places.items():
        count = max(1, POINTS_AT_ONCE // n)
        for first in range(0, len(alike), count):
            part = alike[first : first + count]
            for i, seasons in zip(part, _detect(np.stack([rows[i][-n:] for i in part])), strict=True):
                found[i] = seasons
    return found


def _detect(values: Array) -> list[tuple[int, int]]:
    """The seasons of series of one length [rows, time]."""
    n = values.shape[1]
    centered = values - np.add.reduce(values, axis=1, keepdims=True) / n
    largest = np.abs(centered).max(axis=1)
    moves = np.flatnonzero(largest > ROUNDING * np.abs(values).max(axis=1))
    found = [(1, 0)] * len(values)
    if not len(moves):
        return found
    centered = centered[moves] / largest[moves, None]
    shares = _measure_shares(centered, _find_candidates(centered))
    shorts = [_choose(row) for row in shares]
    # The longer ones, of what the shorter leave.
    for short in set(shorts) - {1} - DAYS_OF_WEEKS.keys():
        here = np.array([i for i, other in enumerate(shorts) if other == short])
        long = DAYS * short
        has_long = np.zeros(len(here), bool)
        if n > 2 * long:
            rest = centered[here] - _patterns(centered[here], short)[:, np.arange(n) % short]
            sums = _sum_up(rest, _accumulate(rest), long)
            if sums is not None:
                has_long = _explain(sums, np.array(long)) > LEAST_LONG_SHARE
        for i, is_long in zip(here, has_long, strict=True):
            found[moves[i]] = short, long if is_long else 0
    for i, short in enumerate(shorts):
        if short in DAYS_OF_WEEKS:
            day = max(DAYS_OF_WEEKS[short], key=lambda day: shares[i].get(day, 0.0))
            found[moves[i]] = day, DAYS * day
    return found


def _choose(shares: dict[int, float]) -> int:
    """The season of a series, of those that explain a share of it; 1 for none."""
    if not shares:
        return 1
    best = max(shares, key=lambda season: shares[season])
    return min(
        season
        for season, share in shares.items()
        if share >= (PART if best == DAYS * season else NEARLY) * shares[best]
    )


def _measure_shares(centered: Array, candidates: NDArray[np.bool_]) -> list[dict[int, float]]:
    """What the candidates [rows, lags] of each series explain of it, where it is more than noise may."""
    shares: list[dict[int, float]] = [{} for _ in centered]
    rows: list[int] = []
    seasons: list[int] = []
    sums: list[Array] = []
    total = _accumulate(centered)
    for season in np.flatnonzero(candidates.any(axis=0)).tolist():
        here = np.flatnonzero(candidates[:, season])
        some = slice(None) if len(here) == len(centered) else here
        of_season = _sum_up(centered[some], total[some], season)
        if of_season is not None:
            sums.append(of_season)
            rows += here.tolist()
            seasons += [season] * len(here)
    if rows:
        explained = _explain(np.concatenate(sums, axis=1), np.array(seasons))
        for i, season, share in zip(rows, seasons, explained.tolist(), strict=True):
            if share > 0:
                shares[i][season] = share if season in CALENDAR else UNUSUAL_SHARE * share
    return shares


def _find_candidates(centered: Array) -> NDArray[np.bool_]:
    """Which lags are tested as seasons: [rows, lags]."""
    n_rows, n = centered.shape
    most = min(n // 2, LONGEST_SEASON)
    position = np.arange(n) - (n - 1) / 2
    slope = np.add.reduce(centered * position, axis=1, keepdims=True) / (position @ position)
    # Series without their slope, and their differences.
    both = np.zeros((2, n_rows, n))
    both[0] = centered - position * slope
    differences = centered[:, 1:] - centered[:, :-1]
    both[1, :, 1:] = differences - np.add.reduce(differences, axis=1, keepdims=True) / (n - 1)
    correlation = _autocorrelation(both)[:, :, : most + 1]
    is_above = correlation > 1 / math.sqrt(n)
    # Of lag 0 every series is a copy, and of lag 1 most are.
    middle = correlation[:, :, 2:-1]
    is_peak = (middle > correlation[:, :, 1:-2]) & (middle >= correlation[:, :, 3:]) & is_above[:, :, 2:-1]
    candidates = np.zeros((2, n_rows, most + 1), bool)
    n_peaks = np.add.reduce(is_peak, axis=2)
    candidates[:, :, 2:-1] = is_peak
    for series, row in zip(*np.nonzero(n_peaks > PEAKS), strict=True):
        peaks = np.flatnonzero(is_peak[series, row])
        lower = peaks[np.argsort(-middle[series, row, peaks], kind="stable")[PEAKS:]]
        candidates[series, row, lower + 2] = False
    calendar = [lag for lag in CALENDAR if lag <= most]
    candidates[:, :, calendar] |= is_above[:, :, calendar]
    return np.asarray(candidates[0] | candidates[1])


def _autocorrelation(series: Array) -> Array:
    """Of series of mean 0 [.., time] at all lags from 0."""
    n = series.shape[-1]
    spectrum = np.fft.rfft(series, 1 << (2 * n - 1).bit_length())
    covariance = np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[..., :n]
    return np.asarray(covariance / np.maximum(covariance[..., :1], 1e-300))


def _patterns(values: Array, season: int) -> Array:
    """The mean of each phase: [rows, time] -> [rows, season]."""
    n_rows, n = values.shape
    n_cycles = -(-n // season)
    whole = np.zeros((n_rows, n_cycles * season))
    whole[:, :n] = values
    counts = np.bincount(np.arange(n) % season, minlength=season)
    return np.asarray(np.add.reduce(whole.reshape(n_rows, n_cycles, season), axis=1) / counts)


def _accumulate(centered: Array) -> Array:
    """Sums of the first points of each series: [rows, time + 1]."""
    total = np.zeros((len(centered), centered.shape[1] + 1))
    np.add.accumulate(centered, axis=1, out=total[:, 1:])
    return total


def _sum_up(centered: Array, total: Array, season: int) -> Array | None:
    """What is to be known of a season's pattern [4, rows]; None where series hold less than two whole cycles.

    The sums of squares of the pattern and of what it leaves, of products of neighbours of the latter, and the cycles.
    """
    n_rows = len(centered)
    means = (total[:, season:] - total[:, :-season]) / season  # of windows that begin at each position
    level = means if season % 2 else (means[:, :-1] + means[:, 1:]) / 2
    n_cycles = level.shape[1] // season
    if n_cycles < 2:
        return None
    n = n_cycles * season
    # The last whole cycles.
    first = season // 2 + level.shape[1] - n
    around = centered[:, first : first + n] - level[:, -n:]
    cycles = around.reshape(n_rows, n_cycles, season)
    pattern = np.add.reduce(cycles, axis=1) / n_cycles
    pattern -= np.add.reduce(pattern, axis=1, keepdims=True) / season
    rest = (cycles - pattern[:, None]).reshape(n_rows, n)
    sums = np.empty((4, n_rows))
    np.vecdot(pattern, pattern, out=sums[0])
    np.vecdot(rest, rest, out=sums[1])
    np.vecdot(rest[:, 1:], rest[:, :-1], out=sums[2])
    sums[3] = n_cycles
    return sums


def _explain(sums: Array, seasons: NDArray[np.integer]) -> Array:
    """The share of the variance about a moving level that seasons explain, 0 where noise may explain it: [n].

    Args:
        sums: [4, n], as of `_sum_up`; seasons [n].
    """
    signal, squares, together, n_cycles = sums
    n = n_cycles * seasons
    signal = signal / (seasons - 1)
    repeats = squares <= 1e-20 * n
    variance = squares / (n - seasons)
    noise = variance / n_cycles
    neighbours = np.minimum(np.maximum(together / np.where(repeats, 1.0, squares), 0.0), 0.98)
    effective = np.maximum((seasons - 1) * (1 - neighbours) / (1 + neighbours), 1.0)
    # The variance of an F statistic of so many degrees of freedom, roughly.
    bound = 1 + DEVIATIONS * np.sqrt(2 / effective * (1 + 1 / (n_cycles - 1)))
    is_more = (signal > bound * noise) & ~repeats
    share = np.where(is_more, (signal - noise) / np.where(is_more, signal - noise + variance, 1.0), 0.0)
    return np.asarray(np.where(repeats, np.where(signal > 1e-18, 1.0, 0.0), share))
