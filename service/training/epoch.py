"""What a fit tells of an epoch."""

from dataclasses import dataclass, field

# An epoch that goes on for so long after a fit's time is up is not waited for: a network may be so large that it takes
# hours. Others end whole.
OVERTIME_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch ended with. `number` counts from 1; losses are in the model's units.

    One that `is_restored` was not run now, but read from a checkpoint. `task` is the place of its fit in the list of
    tasks that it belongs to, and `member` counts all fits of a job in the order of their lists, from 1: fits may end in
    another.
    """

    number: int
    loss: float
    val_loss: float
    seconds: float
    is_restored: bool = field(default=False, compare=False)
    task: int = field(default=0, compare=False)
    member: int = field(default=1, compare=False)
