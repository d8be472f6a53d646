"""Finds values so far from a series that they may be errors. NumPy only."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from service.domain.series import Array

# Fewer points tell nothing of how a series moves.
FEWEST = 8
FEWEST_FOR_SPIKES = 20
# How often the range of all other values fits between them and the outlier. Sales that treble in a promotion, orders
# of spare parts and a level that shifts stay under it; a slipped decimal point and a code for "missing" pass it.
FARTHEST = 6.0
# At the end a value may as well begin something new.
FARTHEST_AT_END = 15.0
# On each side, in what a value is compared with beside the whole series.
NEIGHBOURS = 3
# More of a kind are no errors, but how the series is.
MOST, MOST_SHARE, MOST_OF_ALL = 3, 0.02, 1000
# What stands for a missing value in instruments' files: errors wherever all else is far from it, also where many.
CODES = (-999.0, -9999.0, -99999.0, -999999.0, -99.9, -999.9, -9999.9, 9999.0, 99999.0, 999999.0, -32768.0, 1e20, 1e30)
MOST_CODES_SHARE = 0.3


def find_outliers(values: Array) -> NDArray[np.intp]:
    """The positions of outliers in a series [time], NaN where a value is missing; of most series none.

    A value is one where a gap parts it, with few others, from all the rest, and the gap is several times as wide as the
    range of the rest (as Dixon's ratio test has it), or as the rest is large where that is constant.
    """
    positions = np.flatnonzero(~np.isnan(values))
    known = values[positions]
    if len(known) < FEWEST or known.min() == known.max():
        return np.zeros(0, np.intp)
    is_code = np.zeros(len(known), np.bool_)
    for code in CODES:
        is_this = known == code
        if is_this.any() and is_this.mean() <= MOST_CODES_SHARE and _is_far(known[~is_this & ~is_code], code):
            is_code |= is_this
    rest = known[~is_code]
    is_out = is_code.copy()
    is_out[~is_code] = _find_few(rest) | _find_spikes(rest)
    return positions[is_out]


def _find_few(known: Array) -> NDArray[np.bool_]:
    """All that are apart; none where those are more than a few."""
    is_out = np.zeros(len(known), np.bool_)
    few = min(max(MOST, int(MOST_SHARE * len(known))), MOST_OF_ALL)
    while len(known) - is_out.sum() >= FEWEST:
        more = _find_apart(known[~is_out], few)
        if more is None:
            break
        is_out[np.flatnonzero(~is_out)[more]] = True
        if is_out.sum() > few:
            return np.zeros(len(known), np.bool_)
    return is_out


def _find_spikes(known: Array) -> NDArray[np.bool_]:
    """Single values that leave their neighbours, whatever trend or level those follow."""
    if len(known) < FEWEST_FOR_SPIKES:
        return np.zeros(len(known), np.bool_)
    is_out = _find_few(known - _local_medians(known))
    is_single = not (is_out[1:] & is_out[:-1]).any() and not is_out[-1]
    return is_out if is_single else np.zeros(len(known), np.bool_)


def _local_medians(known: Array) -> Array:
    """The median of each value and its neighbours: what a trend and a level that shifts have in common."""
    padded = np.pad(known, NEIGHBOURS, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1), axis=1))


def _find_apart(known: Array, few: int) -> NDArray[np.bool_] | None:
    """The lowest or highest values, at most `few`, that are far from all others; None where there are none."""
    ordered = np.sort(known)
    counts = np.arange(1, min(few, len(ordered) - FEWEST + 1) + 1)
    for signed, sign in ((ordered, 1.0), (-ordered[::-1], -1.0)):
        # The lowest values [counts] up to `edges`, and the range of what lies above.
        edges, lows, high = signed[counts - 1], signed[counts], signed[-1]
        gaps = lows - edges
        widths = np.where(high > lows, high - lows, np.where(lows == 0, np.inf, 2 * np.abs(lows)))
        for count in counts[gaps > FARTHEST * widths]:
            apart = sign * known <= signed[count - 1]
            # A level that shifts within the last points is none yet, but nothing returned from it.
            if not apart[-count:].all() or (count == 1 and gaps[0] > FARTHEST_AT_END * widths[0]):
                return np.asarray(apart)
    return _find_both_apart(known, ordered)


def _find_both_apart(known: Array, ordered: Array) -> NDArray[np.bool_] | None:
    """Lowest and highest values at once: each would widen the range that the others are measured by."""
    for low, high in product(range(1, MOST + 1), repeat=2):
        core = ordered[low : len(ordered) - high]
        if len(core) < FEWEST or core[0] == core[-1]:
            continue
        limit = FARTHEST * (core[-1] - core[0])
        if core[0] - ordered[low - 1] > limit and ordered[-high] - core[-1] > limit:
            return np.asarray((known <= ordered[low - 1]) | (known >= ordered[-high]))
    return None


def _is_far(rest: Array, code: float) -> bool:
    if not len(rest):
        return False
    low, high = rest.min(), rest.max()
    return bool(max(low - code, code - high) > _width(low, high))


def _width(low: float, high: float) -> float:
    """How wide the others range; where they are all the same how large they are, without end where they are zero."""
    if high > low:
        return float(high - low)
    return abs(float(low)) * 2 or float("inf")
