"""Forecasts of many series as columns, one row a step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RowNames:
    """The columns that say what a row is of: the series' id, None where a table has no such column, and the time."""

    id: str | None = "unique_id"
    time: str = "ds"


USUAL_NAMES = RowNames()


@dataclass(frozen=True, slots=True, eq=False)
class ForecastColumns:
    """Forecasts of `ids` [series], `horizon` steps of each.

    `columns` are by name, each [forecasts * horizon] of the series that have one, one behind the other; `stamps` are
    the times of each of these [forecasts], None where they are not known; `errors` [series] say why a series has no
    forecast, None where it has one.
    """

    ids: Sequence[str]
    horizon: int
    columns: Mapping[str, NDArray[np.float64]]
    stamps: Sequence[list[str] | None]
    errors: Sequence[str | None]
    names: RowNames = USUAL_NAMES
