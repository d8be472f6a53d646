"""From a model's answers to those of a request: series joined with their values, intervals or flaws."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engines.engine import Array
from service.errors import Flaw
from service.serving.levels import find_spread
from service.serving.plan import Plan
from service.serving.rows import Row
from service.store.manifest import Manifest

Bounds = NDArray[np.float64]


class SeriesForecast(NamedTuple):
    """One series' forecast: `values` [horizon], `sequence` [steps, horizon] where asked for; or its flaw.

    `intervals` are lower and upper bounds by level, each [horizon].
    """

    id: str
    values: Array | None = None
    timestamps: list[str] | None = None
    sequence: Array | None = None
    intervals: dict[str, tuple[Bounds, Bounds]] | None = None
    flaw: Flaw | None = None


def assemble(
    rows: list[Row], answers: list[Array], sequences: list[Array] | None, plan: Plan, manifest: Manifest
) -> list[SeriesForecast]:
    """Joins the answers, one for each row without a flaw, with the series that they are for.

    Args:
        answers: the plan's steps, or more, of each: [horizon or more].
        sequences: [steps, horizon or more] of each, where they were asked for.
    """
    if len(answers) == 1:
        values = answers[0][None, : plan.horizon]
    elif answers:
        values = np.ascontiguousarray(np.concatenate(answers).reshape(len(answers), -1)[:, : plan.horizon])
    else:
        values = np.zeros((0, plan.horizon), np.float32)
    finite = np.isfinite(values)
    overflown = frozenset() if finite.all() else frozenset(np.nonzero(~finite)[0].tolist())
    forecasts = []
    positions = iter(range(len(answers)))
    for row in rows:
        if row.flaw is not None:
            forecasts.append(SeriesForecast(row.id, flaw=row.flaw))
            continue
        i = next(positions)
        sequence = None if sequences is None else np.ascontiguousarray(sequences[i][:, : plan.horizon])
        if i not in overflown and (sequence is None or np.isfinite(sequence).all()):
            intervals = _surround(row, values[i], plan, manifest) if plan.half_widths else None
            forecasts.append(SeriesForecast(row.id, values[i], row.timestamps, sequence, intervals))
        else:
            forecasts.append(SeriesForecast(row.id, flaw=overflow(row.pointer)))
    return forecasts


def _surround(row: Row, values: Array, plan: Plan, manifest: Manifest) -> dict[str, tuple[Bounds, Bounds]]:
    """The intervals of one series' forecast, as wide as the series moves."""
    spread = 0.0 if row.values is None else find_spread(manifest, row.values)
    return {
        level: (values - half_widths * spread, values + half_widths * spread)
        for level, half_widths in plan.half_widths.items()
    }


def overflow(pointer: str) -> Flaw:
    """The flaw of a series whose forecast is not finite."""
    return Flaw(
        pointer,
        "out_of_range",
        "The forecast leaves the range of 32-bit numbers: expected finite values. Send the series in a larger unit, or "
        "ask for fewer steps.",
    )
