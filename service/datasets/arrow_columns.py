"""Functions that the readers of columns share."""

import unicodedata
from typing import Any

import pyarrow as pa


def decode(column: Any) -> Any:
    """A column without its dictionary, where it has one."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def is_text(kind: Any) -> bool:
    """Whether a type is one of Arrow's texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def shorten(value: Any) -> str:
    """A value as it is shown in a message."""
    text = str(value)
    return text if len(text) <= 40 else text[:40] + "..."


def quote(value: Any) -> str:
    """A cell as shown in a message: in quotes, with invisible characters by their names."""
    if value is None:
        return "nothing"
    text = shorten(value)
    seen = "".join(letter if letter.isprintable() else " " for letter in text)
    unseen = dict.fromkeys(letter for letter in text if not letter.isprintable())
    names = ", ".join(_name(letter) for letter in unseen)
    return f"'{seen}'" + (f" (with {names})" if names else "")


def _name(letter: str) -> str:
    if letter in "\r\n":
        return "a line break"
    if letter == "\t":
        return "a tab"
    return unicodedata.name(letter, f"U+{ord(letter):04X}").lower()
