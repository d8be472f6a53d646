"""Damaged entries of the store: each is reported, and none affects the others."""

from dataclasses import dataclass

LONGEST_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Damage:
    """A damaged entry of the store.

    Attributes:
        entry: its place in the store, such as `lstm/3` or `lstm/aliases.json`.
        reason: a clause about it that begins with a verb or "it".
        model: the model that it belongs to, if any.
        version: the number of the version that can't be served for it, if it is one.
        alias: the alias that leads nowhere for it, if it is one.
    """

    entry: str
    reason: str
    model: str | None = None
    version: int | None = None
    alias: str | None = None


def show_name(name: str) -> str:
    """The name of a file as printable text, even if its bytes are not UTF-8."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
