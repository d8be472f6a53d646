"""What runs a version's forecasts, and where engines are made by name."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.store.manifest import Manifest

Array = NDArray[np.float32]
Lengths = NDArray[np.int32]


class Engine(Protocol):
    """A loaded version. Callable from several threads at once; everything is in the user's own units.

    `series` is [batch, time], padded on the right with anything; `lengths` [batch] are at least the version's minimum.
    """

    def forecast(self, series: Array, lengths: Lengths) -> Array:
        """The version's own horizon: [batch, horizon]."""
        ...

    def rollout(self, series: Array, lengths: Lengths, horizon: int) -> Array:
        """Any horizon, by feeding whole blocks back: [batch, horizon]."""
        ...

    def all_steps(self, series: Array, lengths: Lengths) -> tuple[Array, Lengths]:
        """Sequence heads only: the forecast at every step [batch, steps, horizon] and each row's own count [batch]."""
        ...


class Loader(Protocol):
    """Loads versions for one kind of engine."""

    @property
    def name(self) -> str:
        """The engine's name, as clients see it."""
        ...

    def __call__(self, folder: Path, manifest: Manifest) -> Engine:
        """The engine of a version's folder, ready to answer. Blocks. Raises VersionDamaged."""
        ...


def make_loader(name: str) -> Loader:
    """What loads versions for the engine of this name; `auto` is the fastest that can run every version.

    Raises:
        KeyError: there is no such engine; settings allow known names only.
    """
    from service.serving.savedmodel import SavedModelLoader

    return {"auto": SavedModelLoader, "savedmodel": SavedModelLoader}[name]()
