"""What a network is fitted to: windows that are there, or batches of windows that are drawn without end."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from service.domain.panel_windows import TrainingWindows


class BatchSampler(Protocol):
    """Batches of one size, other ones in each epoch. The learning rate falls to zero over all epochs."""

    # All that the batches depend on as one goes on.
    rng: np.random.Generator

    def __len__(self) -> int:
        """How many batches are an epoch."""
        ...

    def __iter__(self) -> Iterator[TrainingWindows]:
        """Batch after batch, without end."""
        ...


# Fixed windows come in an order of their own in each epoch, all of them once.
TrainingSet = TrainingWindows | BatchSampler
