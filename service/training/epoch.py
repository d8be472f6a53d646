"""What a fit tells of an epoch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch ended with. `number` counts from 1; losses are in the model's units."""

    number: int
    loss: float
    val_loss: float
    seconds: float
