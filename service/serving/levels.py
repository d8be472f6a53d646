"""The widths of prediction intervals that a version can claim, from its calibration residuals."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain import intervals
from service.errors import InvalidRequest
from service.store.manifest import Manifest


def find_half_widths(manifest: Manifest, levels: Sequence[float], horizon: int) -> dict[str, NDArray[np.float64]]:
    """Half widths by level, the keys the shortest decimals of percent; each [horizon], in spreads of the series.

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
            f"{subject} holds no calibration residuals, so it has no prediction intervals at any level. "
            "Leave `level` out.",
        )
    residuals = calibration["residuals"]
    if horizon > len(residuals):
        raise InvalidRequest.at(
            "/level",
            "level_not_calibrated",
            f"{subject} is calibrated for {len(residuals)} steps: expected a horizon of at most that with `level`, got "
            f"{horizon}. Ask for fewer steps, or leave `level` out.",
        )
    fewest = min(map(len, residuals[:horizon]))
    highest = max(levels)
    if intervals.needed(highest) > fewest:
        raise InvalidRequest.at(
            "/level",
            "level_not_calibrated",
            f"{subject} holds {fewest} calibration residuals a step, which bear a level of at most "
            f"{100 * fewest / (fewest + 1):.4g} %; got {highest:g} %. Ask for a lower level.",
        )
    return {format_level(level): intervals.half_widths(residuals, level, horizon) for level in levels}


def find_spread(manifest: Manifest, history: NDArray[np.floating]) -> float:
    """The unit of the half widths, of a series whose past [time] this is: as the version was calibrated."""
    calibration = manifest.calibration or {"season": 1, "window": manifest.window}
    return intervals.spread(history[-calibration["window"] :], calibration["season"])


def format_level(level: float) -> str:
    """A level as a key of an answer: `80`, `97.5`."""
    return np.format_float_positional(level, trim="-")
