"""Classical decomposition of many series into a season and what is left, with factors shrunk by their noise.

Sources: the moving average over a whole season is W. M. Persons', 1919, as in M. Kendall and A. Stuart, "The Advanced
Theory of Statistics"; shrinking is after D. M. Miller and D. Williams, "Shrinkage estimators of time series seasonal
factors", 2003.
"""

from typing import Any, NamedTuple

from service.networks.operations import Tensor

# A season is one of ratios only where no value is under this share of the mean.
LEAST_RATIO = 1e-3
TINY = 1e-12
LARGEST = 1e30


class Season(NamedTuple):
    """The season of each row.

    `adjusted` [rows, time] are the values without it; `factors` [season, rows] what each phase has above the level, or
    as a share of it where `is_ratio` [rows, 1] is 1; `kept` [rows, 1] how much of them the noise left, 0 to 1.
    """

    adjusted: Tensor
    factors: Tensor
    is_ratio: Tensor
    kept: Tensor

    def apply(self, xp: Any, forecast: Tensor, phases: Tensor) -> Tensor:
        """Puts the season onto forecasts [rows, forecasts, steps] of adjusted values; phases [steps]."""
        ahead = xp.transpose(xp.take(self.factors, phases, axis=0), (1, 0))
        is_ratio = self.is_ratio > 0.5
        factor, shift = xp.where(is_ratio, 1.0 + ahead, 1.0), xp.where(is_ratio, 0.0, ahead)
        return forecast * xp.expand_dims(factor, 1) + xp.expand_dims(shift, 1)


def decompose(xp: Any, values: Tensor, own: Tensor, season: Tensor) -> Season:
    """Takes the season off series that end at the last column, a phase of which the first column begins.

    Ratios or differences: whichever leaves less. A series of less than two seasons keeps none.

    Args:
        values: [rows, time], 0 where there is none; time is a multiple of the season.
        own: [rows, time], 1 where there is a value, from some position on to the end, else 0.
        season: points, an integer of at least 1.
    """
    rows, time = xp.size(values, 0), xp.size(values, 1)
    length = xp.cast(season, "float32")
    count = xp.sum(own, axis=1, keepdims=True)
    mean = xp.sum(values, axis=1, keepdims=True) / count
    least = xp.min(xp.where(own > 0.5, values, mean), axis=1, keepdims=True)
    is_positive = xp.where(least > LEAST_RATIO * mean, 1.0, 0.0)
    whole = _find_whole(xp, time, count, season)

    # From here on rows are the last axis, so that sums over seasons, and running ones, are of many neighbours at once.
    def turn(x: Tensor) -> Tensor:
        return xp.transpose(x, (1, 0))

    def fold(x: Tensor) -> Tensor:
        return xp.reshape(x, (time // season, season, rows))

    def total(folded: Tensor) -> Tensor:
        """The sum of squares of each row: [1, rows]."""
        return xp.sum(xp.reshape(folded * folded, (time, rows)), axis=0, keepdims=True)

    means = _season_mean(xp, turn((values - mean) * own), season)
    unfolded, whole = fold(turn(values)), fold(turn(whole))
    mean, is_positive = turn(mean), turn(is_positive)  # [1, rows], as all that a row has one of
    years = xp.sum(whole, axis=0)  # [season, rows]
    zeros = 0.0 * years
    level = fold(means) + (mean + zeros)
    n_whole = xp.sum(years, axis=0, keepdims=True)
    is_seen = xp.where(xp.min(years, axis=0, keepdims=True) > xp.where(length > 1.5, 0.5, LARGEST), 1.0, 0.0)
    years = xp.maximum(years, 1.0)
    share_of_noise = xp.mean(1.0 / years, axis=0, keepdims=True) / xp.maximum(n_whole - length, 1.0)

    def shrink(around: Tensor) -> tuple[Tensor, Tensor]:
        """Factors [season, rows] of what is around the level, and how much of them is kept [1, rows]."""
        factors = xp.sum(around, axis=0) / years
        factors = factors - xp.mean(factors, axis=0, keepdims=True)
        noise = total((around - factors) * whole) * share_of_noise
        signal = xp.sum(factors * factors, axis=0, keepdims=True) / xp.maximum(length - 1.0, 1.0)
        kept = xp.maximum(1.0 - noise / xp.maximum(signal, TINY), 0.0) * is_seen
        return factors * kept, kept

    around = (unfolded - level) * whole
    differences, kept_of_differences = shrink(around)
    # Where there are no ratios, any numbers that are finite.
    least_level = xp.where(is_positive > 0.5, TINY, LARGEST) + zeros
    ratios, kept_of_ratios = shrink((unfolded / xp.where(level > least_level, level, 1.0) - 1.0) * whole)
    left_by_differences = around - differences * whole
    left_by_ratios = around - level * whole * ratios
    is_better = xp.where(total(left_by_ratios) <= total(left_by_differences), is_positive, 0.0)
    is_ratio = xp.where(kept_of_ratios > 0, is_better, 0.0)
    by_ratio = is_ratio > 0.5
    divisor = xp.where(by_ratio, xp.maximum(1.0 + ratios, LEAST_RATIO), 1.0)
    adjusted = (unfolded - xp.where(by_ratio, 0.0, differences)) / divisor
    return Season(
        turn(xp.reshape(adjusted, (time, rows))) * own,
        xp.where(by_ratio, ratios, differences),
        turn(is_ratio),
        turn(xp.where(by_ratio, kept_of_ratios, kept_of_differences)),
    )


def _season_mean(xp: Any, values: Tensor, season: Tensor) -> Tensor:
    """The mean over a whole season centred at each position [time, rows], 0 outside.

    Of an even season half of each outermost point counts: the mean of two windows, one of which begins a point later.
    """
    time = xp.size(values, 0)
    sums = xp.cumsum(xp.pad(values, season + 1, season, axis=0), axis=0)  # [time + 2 season + 1, rows]
    windows = []
    for start in _starts(season):
        before = season - start
        after = before + season
        windows.append(sums[after : after + time] - sums[before : before + time])
    return 0.5 * (windows[0] + windows[1]) / xp.cast(season, "float32")


def _find_whole(xp: Any, time: Tensor, count: Tensor, season: Tensor) -> Tensor:
    """1 where the season around a position is known as a whole, else 0; 0 for less than two seasons: [rows, time].

    Args:
        count: how many of the last values are known, [rows, 1].
    """
    far, near = _starts(season)
    position = xp.arange(time)
    is_early = xp.where(position <= time - season + near, 1.0, 0.0)
    # With so many known the windows begin inside.
    enough = xp.cast(xp.maximum(time + far - position, 2 * season), "float32")
    return xp.where(count > enough - 0.5, is_early, 0.0)


def _starts(season: Tensor) -> tuple[Tensor, Tensor]:
    """How far before each position the two windows of its season begin, the longer way first."""
    return season // 2, season - 1 - season // 2
