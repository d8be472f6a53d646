"""A panel: many series of one frequency, as a training job or a data set holds them."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Series of one frequency, each on its regular grid.

    `values` are float64 [time], NaN where a value is missing; `starts` the ISO time stamps of the first points, None
    where no times are known; `freq` a pandas offset alias, or None. `flat` is the array of which all `values` are
    slices, one behind the other, where there is such a one: it may be a file that is mapped into memory.
    """

    ids: tuple[str, ...]
    values: tuple[Array, ...]
    starts: tuple[str | None, ...]
    freq: str | None
    flat: Array | None = None

    @property
    def n_series(self) -> int:
        return len(self.values)

    @property
    def n_points(self) -> int:
        """Points on the grids, missing ones included."""
        return sum(map(len, self.values))

    def digest(self) -> str:
        """SHA-256 of all that the panel holds."""
        digest = PanelDigest(self.ids, self.starts, self.freq, list(map(len, self.values)))
        for values in self.values:
            digest.update(values)
        return digest.hexdigest()


class PanelDigest:
    """The digest of a panel whose values come in pieces."""

    def __init__(
        self, ids: Iterable[str], starts: Iterable[str | None], freq: str | None, lengths: Iterable[int]
    ) -> None:
        """Args: `lengths` are how many values each series has."""
        self._digest = hashlib.sha256(json.dumps([list(ids), list(starts), freq]).encode())
        self._lengths = iter(lengths)
        self._rest = 0

    def update(self, values: Array) -> None:
        """The next values, of one series or of several, cut anywhere."""
        content = np.ascontiguousarray(values, dtype=np.float64)
        while len(content):
            if not self._rest:
                self._rest = self._begin()
                continue
            part, content = content[: self._rest], content[self._rest :]
            self._digest.update(part.data)
            self._rest -= len(part)

    def hexdigest(self) -> str:
        """The digest, once all values were given."""
        for length in self._lengths:
            self._digest.update(np.int64(length).tobytes())
        return self._digest.hexdigest()

    def _begin(self) -> int:
        """Begins the next series that has values; returns how many."""
        length = next(self._lengths)
        self._digest.update(np.int64(length).tobytes())
        return int(length)
