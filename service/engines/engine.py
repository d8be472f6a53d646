"""Interfaces of engines, which compute a version's forecasts, and of their loaders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.store.manifest import Manifest

Array = NDArray[np.float32]
# Series as they were posted.
Series = NDArray[np.float64]
Answers = NDArray[np.floating]
Lengths = NDArray[np.int32]
Kind = Literal["forecast", "rollout", "all_steps"]


class Runtime(Protocol):
    """Computes a version's forecasts in 32 bits. Thread-safe.

    `series` is [batch, time], padded on the right with anything; `lengths` [batch] are at least the version's minimum.
    """

    def estimate(self, kind: Kind, rows: int, length: int, horizon: int) -> float:
        """About how many seconds a call for rows of this length takes; infinity where it must not be waited for."""
        ...

    def forecast(self, series: Array, lengths: Lengths) -> Array:
        """The version's own horizon: [batch, horizon]."""
        ...

    def rollout(self, series: Array, lengths: Lengths, horizon: int) -> Array:
        """Any horizon, by feeding whole blocks back: [batch, horizon]."""
        ...

    def all_steps(self, series: Array, lengths: Lengths) -> tuple[Array, Lengths]:
        """Sequence heads only: the forecast at every step [batch, steps, horizon] and each row's own count [batch]."""
        ...


class Engine(Protocol):
    """A loaded version: a runtime that takes series, and answers, in 64 bits and in the user's own units.

    Answers are float32 where the version's forecasts don't follow their series' level and unit, else float64.
    """

    def estimate(self, kind: Kind, rows: int, length: int, horizon: int) -> float:
        """As of `Runtime`."""
        ...

    def forecast(self, series: Series, lengths: Lengths) -> Answers:
        """As of `Runtime`."""
        ...

    def rollout(self, series: Series, lengths: Lengths, horizon: int) -> Answers:
        """As of `Runtime`."""
        ...

    def all_steps(self, series: Series, lengths: Lengths) -> tuple[Answers, Lengths]:
        """As of `Runtime`."""
        ...


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The name of the engine that serves a version, None if none can, and the reason."""

    engine: str | None
    reason: str


class Loader(Protocol):
    """Loads versions."""

    def choose(self, manifest: Manifest) -> EngineChoice:
        """The engine that serves a version."""
        ...

    def __call__(self, folder: Path, manifest: Manifest) -> Engine:
        """The engine of a version's folder, ready to answer. Blocks. Raises VersionDamaged, EngineNotAvailable."""
        ...
