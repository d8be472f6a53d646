"""The season of a series that nobody has named: found by its correlation with itself, and tested against noise.

Candidates are the lags where the series, or its differences, are like themselves most, and those of the calendar. Each
is tested as in an analysis of variance: whether the mean pattern over its phases is larger than what the scatter from
one cycle to the next explains. Neighbouring phases of smooth noise are alike, so they count as fewer.
"""

import math
from typing import NamedTuple

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


class _Evidence(NamedTuple):
    season: int
    share: float


def detect_seasons(values: Array) -> tuple[int, int]:
    """The season, and a longer one that is a multiple of it where there is one, else 0."""
    values = values[-MOST_POINTS:]
    n = len(values)
    if n < FEWEST_POINTS:
        return 1, 0
    centered = values - np.add.reduce(values) / n
    largest = float(np.abs(values).max())
    if float(np.abs(centered).max()) <= ROUNDING * largest:
        return 1, 0
    centered = centered / np.abs(centered).max()
    found = [
        _Evidence(season, share if season in CALENDAR else UNUSUAL_SHARE * share)
        for season in _candidates(centered)
        if (share := _share_explained(centered, season)) > 0
    ]
    if not found:
        return 1, 0
    best = max(found, key=lambda evidence: evidence.share)
    near = [
        evidence.season
        for evidence in found
        if evidence.share >= (PART if best.season == DAYS * evidence.season else NEARLY) * best.share
    ]
    short = min(near)
    shares = {evidence.season: evidence.share for evidence in found}
    if short in DAYS_OF_WEEKS:
        day = max(DAYS_OF_WEEKS[short], key=lambda day: shares.get(day, 0.0))
        return day, DAYS * day
    long = DAYS * short
    rest = centered - _pattern(centered, short)[np.arange(n) % short]
    return short, long if n > 2 * long and _share_explained(rest, long) > LEAST_LONG_SHARE else 0


def _candidates(centered: Array) -> list[int]:
    n = len(centered)
    most = min(n // 2, LONGEST_SEASON)
    position = np.arange(n) - (n - 1) / 2
    detrended = centered - position * ((position @ centered) / (position @ position))
    differences = np.diff(centered)
    bound = 1 / math.sqrt(n)
    candidates: set[int] = set()
    for series in (detrended, differences - np.add.reduce(differences) / (n - 1)):
        correlation = _autocorrelation(series)[: most + 1]
        is_peak = (correlation[1:-1] > correlation[:-2]) & (correlation[1:-1] >= correlation[2:])
        peaks = np.flatnonzero(is_peak & (correlation[1:-1] > bound)) + 1
        peaks = peaks[peaks >= 2]
        candidates.update(peaks[np.argsort(-correlation[peaks])][:PEAKS].tolist())
        candidates.update(lag for lag in CALENDAR if lag < len(correlation) and correlation[lag] > bound)
    return sorted(candidates)


def _autocorrelation(series: Array) -> Array:
    """Of a series of mean 0 at all lags from 0."""
    n = len(series)
    spectrum = np.fft.rfft(series, 1 << (2 * n - 1).bit_length())
    covariance = np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:n]
    return np.asarray(covariance / max(covariance[0], 1e-300))


def _pattern(values: Array, season: int) -> Array:
    """The mean of each phase."""
    phase = np.arange(len(values)) % season
    return np.asarray(np.bincount(phase, values, minlength=season) / np.bincount(phase, minlength=season))


def _share_explained(centered: Array, season: int) -> float:
    """The share of the variance about a moving level that a season explains; 0 where noise may explain it."""
    total = np.empty(len(centered) + 1)
    total[0] = 0.0
    np.add.accumulate(centered, out=total[1:])
    means = (total[season:] - total[:-season]) / season  # of windows that begin at each position
    level = means if season % 2 else (means[:-1] + means[1:]) / 2
    n_cycles = len(level) // season
    if n_cycles < 2:
        return 0.0
    n = n_cycles * season
    # The last whole cycles.
    first = season // 2 + len(level) - n
    around = centered[first : first + n] - level[-n:]
    cycles = around.reshape(n_cycles, season)
    pattern = np.add.reduce(cycles, axis=0) / n_cycles
    pattern -= np.add.reduce(pattern) / season
    rest = (cycles - pattern).reshape(-1)
    squares = float(rest @ rest)
    signal = float(pattern @ pattern) / (season - 1)
    if squares <= 1e-20 * n:
        return 1.0 if signal > 1e-18 else 0.0
    variance = squares / (n - season)
    noise = variance / n_cycles
    neighbours = min(max(float(rest[1:] @ rest[:-1]) / squares, 0.0), 0.98)
    effective = max((season - 1) * (1 - neighbours) / (1 + neighbours), 1.0)
    # The variance of an F statistic of so many degrees of freedom, roughly.
    bound = 1 + DEVIATIONS * math.sqrt(2 / effective * (1 + 1 / (n_cycles - 1)))
    if signal <= bound * noise:
        return 0.0
    return (signal - noise) / (signal - noise + variance)
