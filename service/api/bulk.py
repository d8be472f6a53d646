"""Large bodies: series become arrays a piece at a time, so that no list of millions of numbers is ever in memory.

A piece takes a millisecond or two, between which other threads, the event loop's among them, get the interpreter.
"""

import re
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.domain.series import NumberLists

# Smaller bodies are parsed whole: in the time that a hop to a thread takes.
BULK_BYTES = 2**17
PIECE_BYTES = 2**17
_BEGINNING = re.compile(rb'"series"\s*:\s*\[(?=\s*\[)')
_END = re.compile(rb"\]\s*(\])")
_PLACE = b'"series stand here"'


def extract_series(text: bytes) -> tuple[bytes, NumberLists] | None:
    """Takes `"series": [[..], [..]]` out of a JSON text, where it is nothing but lists of numbers and nulls.

    Returns:
        The text with `stands_here` in the series' place, and the series; None where their form is another, or they are
        wrong: then the text must be read as a whole.
    """
    beginning = _BEGINNING.search(text)
    end = _END.search(text, beginning.end()) if beginning is not None else None
    if beginning is None or end is None:
        return None
    first, last = beginning.end(), end.start() + 1
    # Without strings and objects, brackets are lists' own.
    if text.find(b'"', first, last) >= 0 or text.find(b"{", first, last) >= 0:
        return None
    pieces: list[NDArray[np.float64]] = []
    lengths: list[int] = []
    while True:
        found = text.find(b"]", first + PIECE_BYTES, last)
        stop = last if found < 0 else found + 1
        rows = _read_lists(text[first:stop])
        if rows is None:
            return None
        pieces.append(rows[0])
        lengths += rows[1]
        if stop == last:
            break
        comma = text.find(b",", stop, last)
        if comma < 0 or text[stop:comma].strip():
            return None
        first = comma + 1
    series = NumberLists(np.concatenate(pieces), np.cumsum(lengths))
    return text[: beginning.end() - 1] + _PLACE + text[end.end() :], series


def _read_lists(text: bytes) -> tuple[NDArray[np.float64], list[int]] | None:
    """`[1, 2], [3, null]` as numbers and the lists' lengths; None where anything else is there."""
    try:
        rows = orjson.loads(b"[" + text + b"]")
    except orjson.JSONDecodeError:
        return None
    # JSON without strings, objects, true and false is numbers, nulls and lists; and each list has one bracket.
    if b"t" in text or b"f" in text or text.count(b"[") != len(rows) or not all(type(row) is list for row in rows):
        return None
    return np.array(list(chain.from_iterable(rows)), dtype=np.float64), list(map(len, rows))


def stands_here(value: Any) -> bool:
    """Whether a parsed value is what `extract_series` left in the series' place."""
    return bool(value == orjson.loads(_PLACE))
