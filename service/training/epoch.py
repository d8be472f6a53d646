"""What a fit tells of an epoch."""

from dataclasses import dataclass, field

# An epoch that goes on for so long after a fit's time is up is not waited for: a network may be so large that it takes
# hours. Others end whole.
OVERTIME_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch ended with. `number` counts from 1; losses are in the model's units.

    One that `is_restored` was not run now, but read from a checkpoint.
    """

    number: int
    loss: float
    val_loss: float
    seconds: float
    is_restored: bool = field(default=False, compare=False)
