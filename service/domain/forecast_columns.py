"""Forecasts of many series as columns, one row a step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
