"""A panel: many series of one frequency, as a training job or a data set holds them."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Series of one frequency, each on its regular grid.

    `values` are float64 [time], NaN where a value is missing; `starts` the ISO time stamps of the first points, None
    where no times are known; `freq` a pandas offset alias, or None.
    """

    ids: tuple[str, ...]
    values: tuple[Array, ...]
    starts: tuple[str | None, ...]
    freq: str | None

    @property
    def n_series(self) -> int:
        return len(self.values)

    @property
    def n_points(self) -> int:
        """Points on the grids, missing ones included."""
        return sum(map(len, self.values))

    def digest(self) -> str:
        """SHA-256 of all that the panel holds."""
        digest = hashlib.sha256(json.dumps([self.ids, self.starts, self.freq]).encode())
        for values in self.values:
            digest.update(np.int64(len(values)).tobytes())
            digest.update(np.ascontiguousarray(values, dtype=np.float64).tobytes())
        return digest.hexdigest()
