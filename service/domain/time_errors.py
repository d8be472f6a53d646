"""What is wrong with written times, and what was assumed of them. Standard library and NumPy only."""

from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class BadTime(Exception):
    """A text that is no time, or not certainly one.

    Attributes:
        index: which of the texts.
        problem: what is wrong, as the second half of a sentence; `{other}` stands for the other text's row.
        other: another text that it contradicts.
    """

    index: int
    problem: str
    other: int | None = None
    code: str = "bad_timestamp"


@dataclass(frozen=True, slots=True)
class Assumed:
    """How texts were read, which a person should know.

    `index` is a text that shows it, whose row stands for `{other}` in the message. A guess is one that a single text
    can't settle: whoever sends only one is asked instead.
    """

    code: str
    message: str
    index: int
    is_guess: bool = False


def show(us: int | np.int64) -> str:
    """Microseconds since 1970 in ISO 8601."""
    return str(np.datetime64(int(us), "us").astype("datetime64[s]")).removesuffix("T00:00:00")
