"""How flaws name what a request holds: JSON values, keys in pointers, fields that nobody knows."""

import json
from difflib import get_close_matches
from typing import Any

import numpy as np

from service.errors import Flaw, InvalidRequest

# No field is as long.
LONGEST_GUESSED = 40
_JSON_TYPES = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    np.ndarray: "an array",
    dict: "an object",
}


def describe(value: Any) -> str:
    """A JSON value in a message: its type, and itself where it is short."""
    kind = _JSON_TYPES.get(type(value), "something else")
    if value is None or isinstance(value, list | dict | np.ndarray):
        return kind
    # No more of it is shown.
    text = json.dumps(value[:50] if isinstance(value, str) else value, ensure_ascii=True)
    return f"{kind} ({text if len(text) <= 40 else text[:40] + '...'})"


def escape(key: str) -> str:
    """A key as a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def unknown_field(name: str, pointer: str, known: list[str]) -> Flaw:
    """The flaw of a field that nobody knows, which names the one that may be meant."""
    # The search takes as long as the name is.
    close = get_close_matches(name, known, n=1) if len(name) <= LONGEST_GUESSED else []
    hint = f"Did you mean {close[0]!r}?" if close else f"Fields: {', '.join(known)}."
    shown = name if len(name) <= 40 else name[:40] + "..."
    return Flaw(pointer, "unknown_field", f"There is no field {shown!r} here. {hint}")


def wrong_type(pointer: str, expected: str, value: Any) -> InvalidRequest:
    """The refusal of a value of another type than is expected at the pointer."""
    return InvalidRequest.at(pointer, "wrong_type", f"Expected {expected}, got {describe(value)}.")
