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


class Season(NamedTuple):
    """The season of each row.

    `adjusted` [rows, time] are the values without it; `factors` [rows, season] what each phase has above the level, or
    as a share of it where `is_ratio` [rows, 1] is 1; `kept` [rows, 1] how much of them the noise left, 0 to 1.
    """

    adjusted: Tensor
    factors: Tensor
    is_ratio: Tensor
    kept: Tensor

    def apply(self, xp: Any, forecast: Tensor, phases: Tensor) -> Tensor:
        """Puts the season onto forecasts [rows, forecasts, steps] of adjusted values; phases [steps]."""
        ahead = xp.expand_dims(xp.take(self.factors, phases, axis=1), 1)
        return xp.where(xp.expand_dims(self.is_ratio, 2) > 0.5, forecast * (1.0 + ahead), forecast + ahead)


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
    level, n_seen = _season_mean(xp, (values - mean) * own, own, season)
    level = level + mean
    whole = xp.where(n_seen > length - 0.25, own, 0.0)

    def fold(x: Tensor) -> Tensor:
        return xp.reshape(x, (rows, time // season, season))  # [rows, seasons, season]

    years = xp.sum(fold(whole), axis=1)  # [rows, season]
    n_whole = xp.sum(whole, axis=1, keepdims=True)
    is_seen = xp.where(xp.min(years, axis=1, keepdims=True) > 0.5, 1.0, 0.0)
    is_seen = is_seen * xp.where(count > 2.0 * length - 0.5, 1.0, 0.0) * xp.where(length > 1.5, 1.0, 0.0)

    def shrink(around: Tensor) -> tuple[Tensor, Tensor]:
        """Factors [rows, season], and how much of them is kept [rows, 1]."""
        folded = fold(around * whole)
        factors = xp.sum(folded, axis=1) / xp.maximum(years, 1.0)
        factors = factors - xp.mean(factors, axis=1, keepdims=True)
        rest = (folded - xp.expand_dims(factors, 1)) * fold(whole)
        freedom = xp.maximum(n_whole - length, 1.0)
        variance = xp.sum(xp.sum(rest * rest, axis=2), axis=1, keepdims=True) / freedom
        noise = variance * xp.mean(1.0 / xp.maximum(years, 1.0), axis=1, keepdims=True)
        signal = xp.sum(factors * factors, axis=1, keepdims=True) / xp.maximum(length - 1.0, 1.0)
        kept = xp.maximum(1.0 - noise / xp.maximum(signal, TINY), 0.0) * is_seen
        return factors * kept, kept

    differences, kept_of_differences = shrink(values - level)
    level_or_one = xp.where(level > TINY, level, 1.0)
    ratios, kept_of_ratios = shrink(xp.where(is_positive > 0.5, values / level_or_one - 1.0, 0.0))
    left_by_differences = fold((values - level) * whole) - xp.expand_dims(differences, 1) * fold(whole)
    left_by_ratios = fold((values - level) * whole) - fold(level * whole) * xp.expand_dims(ratios, 1)
    is_better = xp.where(_total(xp, left_by_ratios) <= _total(xp, left_by_differences), is_positive, 0.0)
    is_ratio = xp.where(kept_of_ratios > 0, is_better, 0.0)
    factors = xp.where(is_ratio > 0.5, ratios, differences)
    by_year = xp.expand_dims(factors, 1)
    without_ratios = fold(values) / xp.maximum(1.0 + by_year, LEAST_RATIO)
    adjusted = xp.where(xp.expand_dims(is_ratio, 2) > 0.5, without_ratios, fold(values) - by_year)
    return Season(
        xp.reshape(adjusted, (rows, time)) * own,
        factors,
        is_ratio,
        xp.where(is_ratio > 0.5, kept_of_ratios, kept_of_differences),
    )


def _season_mean(xp: Any, values: Tensor, own: Tensor, season: Tensor) -> tuple[Tensor, Tensor]:
    """The mean over a whole season centred at each position, and how many points of it there are: [rows, time].

    Of an even season half of each outermost point counts: the mean of two windows, one of which begins a point later.
    """
    time = xp.size(values, 1)
    starts = (season // 2, season - 1 - season // 2)  # how far before each position its windows begin
    sums = []
    for x in (values, own):
        total = xp.pad(xp.cumsum(xp.pad(x, season, season), axis=1), 1, 0)  # [rows, time + 2 season + 1]
        windows = []
        for start in starts:
            before = season - start
            after = before + season
            windows.append(total[:, after : after + time] - total[:, before : before + time])
        sums.append(0.5 * (windows[0] + windows[1]))
    return sums[0] / xp.cast(season, "float32"), sums[1]


def _total(xp: Any, x: Tensor) -> Tensor:
    """The sum of squares of each row: [rows, 1]."""
    return xp.sum(xp.sum(x * x, axis=2), axis=1, keepdims=True)
