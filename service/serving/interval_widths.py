"""The widths of a version's prediction intervals, from its calibration residuals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain import intervals
from service.domain.intervals import Spread
from service.errors import InvalidRequest
from service.store.manifest import Manifest

Widths = NDArray[np.float64]
# A quantile so near to a half is the median, but for rounding.
LEAST_LEVEL = 1e-6


class HalfWidths(NamedTuple):
    """Half widths [horizon] in spreads of the series: of one that moves, and of one that is still."""

    moving: Widths
    still: Widths

    def of(self, spread: Spread) -> Widths:
        """Those of a series, in its own units."""
        return (self.still if spread.is_still else self.moving) * spread.unit


def find_half_widths(manifest: Manifest, levels: Sequence[float], horizon: int) -> dict[str, HalfWidths]:
    """Half widths by level, the keys the shortest decimals of percent.

    Where one of the two kinds of series has too few residuals for a level, it has the widths of the other.

    Raises:
        InvalidRequest: the version has no residuals, or too few for a level or the horizon.
    """
    if not levels:
        return {}
    calibration = manifest.calibration
    subject = f"Version {manifest.version} of {manifest.name!r}"
    if calibration is None:
        raise InvalidRequest.at(
            "/level",
            "level_not_calibrated",
            f"{subject} has no calibration residuals, so it has no prediction intervals. Leave `level` out.",
        )
    # Of a zero-shot version one list stands for all steps: its unit knows of them.
    is_one_list = manifest.is_zero_shot
    steps = len(calibration["residuals"])
    if horizon > steps and not is_one_list:
        raise InvalidRequest.at(
            "/level",
            "level_not_calibrated",
            f"{subject} is calibrated for {steps} steps: expected a horizon of at most that with `level`, got "
            f"{horizon}. Ask for fewer steps, or leave `level` out.",
        )
    # Versions published earlier have no still series.
    kinds = (calibration["residuals"], calibration.get("still_residuals") or [[]] * steps)
    n_steps = 1 if is_one_list else horizon
    counts = [min(map(len, kind[:n_steps])) for kind in kinds]
    highest = max(levels)
    if intervals.needed(highest) > max(counts):
        raise InvalidRequest.at(
            "/level",
            "level_not_calibrated",
            f"{subject} holds {max(counts)} calibration residuals a step, which bear a level of at most "
            f"{100 * max(counts) / (max(counts) + 1):.4g} %; got {highest:g} %. Ask for a lower level.",
        )
    by_level = {}
    for level in levels:
        bears = [count >= intervals.needed(level) for count in counts]
        moving, still = (kinds[i] if bears[i] else kinds[1 - i] for i in (0, 1))
        widths = (intervals.half_widths(kind, level, n_steps) for kind in (moving, still))
        by_level[format_level(level)] = HalfWidths(*(np.repeat(w, horizon) if is_one_list else w for w in widths))
    return by_level


def find_quantile_widths(
    manifest: Manifest, quantiles: Sequence[float], horizon: int
) -> dict[str, tuple[int, HalfWidths | None]]:
    """By quantile how far it is from the forecast, and to which side: the bound of the interval that ends there.

    The median is the forecast itself, at no distance.

    Raises:
        InvalidRequest: as `find_half_widths`.
    """
    widths: dict[str, tuple[int, HalfWidths | None]] = {}
    for i, quantile in enumerate(quantiles):
        # The shortest decimal of a difference of two.
        level = float(format(abs(2 * quantile - 1) * 100, ".10g"))
        try:
            found = find_half_widths(manifest, (level,), horizon) if level > LEAST_LEVEL else {}
        except InvalidRequest as error:
            message = error.flaws[0].message.replace("Ask for a lower level.", "Ask for one nearer to 0.5.")
            raise InvalidRequest.at(
                f"/quantiles/{i}",
                error.flaws[0].code,
                f"The quantile {quantile:g} bounds an interval of {level:g} %. {message}",
            ) from None
        widths[format_level(quantile)] = (1 if quantile > 0.5 else -1, next(iter(found.values()), None))
    return widths


def find_spread(manifest: Manifest, history: NDArray[np.floating]) -> Spread:
    """The unit of the half widths, of a series whose past [time] this is: as the version was calibrated."""
    calibration = manifest.calibration or {"season": 1, "window": manifest.window}
    is_steady = bool(calibration.get("is_steady"))
    return intervals.measure_spread(history, calibration["season"], calibration["window"], is_steady=is_steady)


def never_negative(manifest: Manifest, history: NDArray[np.floating]) -> bool:
    """Whether neither this series [time] nor those that the version learnt from ever were below zero."""
    learnt = manifest.is_zero_shot or bool((manifest.calibration or {}).get("non_negative"))
    return learnt and bool((history >= 0).all())


def format_level(level: float) -> str:
    """A level as a key of an answer: `80`, `97.5`."""
    return np.format_float_positional(level, trim="-")
