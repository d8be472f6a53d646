"""Which fits of the user's own series are published, and with which weights: by validation, as far as it says."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.training.data.panel_split import PreparedPanel, ScoredWindows
from service.training.panel_fit import Fitted, combine
from service.training.window_scores import choose_metric, measure_windows, summarize

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

# What validation says over one horizon of one series may be luck by this share; over many, by this over the root of
# their number.
LUCK_OF_ONE_HORIZON = 0.3
# A linear kind joins the others where that gains this share; of few horizons, where it may.
GAIN_OF_JOINING = 0.02
LINEAR = "ridge"
# A member leaves the ensemble only where that gains this share, and more than luck. The months that validate are the
# same for all series, and with them a part of the luck: so much was seen to be wrong with 756 series.
LEAST_GAIN = 0.05
# Of a window, in units of its series' seasonal naive error.
MOST_ERROR = 20.0


def choose_fits(fits: Sequence[Fitted], prepared: PreparedPanel, name: str) -> Fitted:
    """All fits as one ensemble but for those without which it validates better; or one kind or fit alone, if better.

    To begin with all, and not with the best, keeps the luck of few validation windows out of the choice.
    """
    luck = LUCK_OF_ONE_HORIZON * _doubt(prepared.validation)
    chosen = [fitted for fitted in fits if fitted.recipe.architecture != LINEAR] or list(fits)
    if measure_loss(fits, prepared) < measure_loss(chosen, prepared) * (1 - GAIN_OF_JOINING + luck):
        chosen = list(fits)
    needed = 1 - LEAST_GAIN - luck
    loss = measure_loss(chosen, prepared)
    while len(chosen) > 1:
        kinds = {fitted.recipe.architecture for fitted in chosen}
        fewer = [[other for other in chosen if other is not fitted] for fitted in chosen]
        fewer += [
            [fitted for fitted in chosen if fitted.recipe.architecture != kind] for kind in kinds if len(kinds) > 1
        ]
        losses = [measure_loss(others, prepared) for others in fewer]
        if min(losses) > loss * needed:
            break
        loss = min(losses)
        chosen = fewer[losses.index(loss)]
    alone = min(fits, key=lambda fitted: _measure(fitted.validation, prepared))
    if _measure(alone.validation, prepared) < loss * needed:
        chosen = [alone]
    if len(chosen) == 1:
        return chosen[0]
    cross_weighed = np.empty_like(chosen[0].validation)
    for block, others in split_windows(prepared.validation):
        weights = weigh_fits(chosen, prepared, others)
        cross_weighed[block] = np.average([fitted.validation[block] for fitted in chosen], axis=0, weights=weights)
    return combine(chosen, weigh_fits(chosen, prepared), name, cross_weighed)


def split_windows(windows: ScoredWindows) -> list[tuple[Rows, Rows]]:
    """Windows in two blocks, each with windows of the other one: the older and the newer origins of every series.

    With a block come those of the other one that share no target with it, or, of a long horizon, all. Of series with
    one origin each every other one is a block; of a single window both are it.
    """
    newest = np.zeros(windows.series.max() + 1, np.int64)
    np.maximum.at(newest, windows.series, windows.ends)
    ages = newest[windows.series] - windows.ends
    is_old = ages > np.median(ages) if ages.any() else np.arange(len(windows)) % 2 == 1
    old, new = np.flatnonzero(is_old), np.flatnonzero(~is_old)
    if not len(old):
        return [(new, new)]
    horizon = windows.actual.shape[1] if ages.any() else 0
    older = old[ages[old] >= ages[new].max() + horizon]
    newer = new[ages[new] + horizon <= ages[old].min()]
    return [(new, older if len(older) else old), (old, newer if len(newer) else new)]


def weigh_fits(fits: Sequence[Fitted], prepared: PreparedPanel, rows: Rows | None = None) -> list[float]:
    """The weights of fits in their mean, which add up to one; by all validation windows, or some rows of them.

    A kind's weight is the inverse square of what the mean of its fits errs on validation, the one of J. Bates and
    C. Granger, "The Combination of Forecasts", 1969; or, where that is one horizon of one series, as much as another
    kind's; or between. Kinds are architectures, so that the weight of one does not grow with the number of its fits.
    """
    kinds: dict[str, list[Fitted]] = {}
    for fitted in fits:
        kinds.setdefault(fitted.recipe.architecture, []).append(fitted)
    errors = np.array(
        [_measure(np.mean([fitted.validation for fitted in alike], axis=0), prepared, rows) for alike in kinds.values()]
    )
    # Relative to the best, which may err by nothing, or by more than can be counted.
    is_best = errors == errors.min()
    squares = np.where(is_best, 1.0, (errors.min() / np.where(is_best, 1.0, errors)) ** 2)
    doubt = _doubt(prepared.validation if rows is None else prepared.validation.take(rows))
    shares = doubt / len(kinds) + (1 - doubt) * squares / squares.sum()
    of_kind = dict(zip(kinds, shares, strict=True))
    return [float(of_kind[kind := fitted.recipe.architecture] / len(kinds[kind])) for fitted in fits]


def _doubt(windows: ScoredWindows) -> float:
    """How far what the windows say may be luck: one over the root of the horizons that they hold side by side.

    Many origins of one series look at the same points.
    """
    _, first = np.unique(windows.series, return_index=True)
    last = np.append(first[1:], len(windows)) - 1
    horizon = windows.actual.shape[1]
    return float(1 / np.sqrt(len(first) + (windows.ends[last] - windows.ends[first]).sum() / horizon))


def measure_loss(fits: Sequence[Fitted], prepared: PreparedPanel) -> float:
    """What validation says of the weighted mean of fits; infinity where it is not finite."""
    forecasts = np.average([fitted.validation for fitted in fits], axis=0, weights=weigh_fits(fits, prepared))
    return _measure(forecasts, prepared)


def _measure(forecasts: Array, prepared: PreparedPanel, rows: Rows | None = None) -> float:
    """What validation, or some rows of it, says of forecasts [n, horizon]; infinity where they are not finite.

    No window counts as more than `MOST_ERROR`: what nobody could forecast is not to hide what kinds differ by.
    """
    metric = choose_metric(prepared)
    errors = measure_windows(prepared.validation, forecasts, metric)
    if not np.isfinite(forecasts).all():
        return float("inf")
    if rows is not None and not np.isnan(errors[rows]).all():
        errors = errors[rows]
    errors = errors[~np.isnan(errors)]
    if metric != "mae":
        errors = np.minimum(errors, MOST_ERROR**2 if metric == "rmsse" else MOST_ERROR)
    return summarize(errors, metric)
