"""Large bodies: series become arrays a piece at a time, when they are asked for.

So no list of millions of numbers is ever in memory; the first series are computed while the next are read; and between
two pieces, a millisecond each, other threads, the event loop's among them, get the interpreter.
"""

import re
from array import array
from collections.abc import Iterator
from itertools import accumulate, chain
from typing import Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from service.api.json_text import parse_json
from service.domain.series import PostedSeries, cut, read_numbers, split

# Smaller bodies are parsed whole: in the time that a hop to a thread takes.
BULK_BYTES = 2**17
# A series of 50 numbers takes 400 bytes: about as many as one engine call computes.
PIECE_BYTES = 3 * 2**14
_BEGINNING = re.compile(rb'"series"\s*:\s*\[(?=\s*\[)')
_END = re.compile(rb"\]\s*(\])")
# JSON of these letters alone is lists, numbers and null.
_LETTERS = b"0123456789.-+eEnul,[] \t\r\n"
_PLACE = b'"series stand here"'


def find_series(text: bytes) -> tuple[bytes, Iterator[list[PostedSeries]]] | None:
    """Takes `"series": [[..], [..]]` out of a JSON text, where it is nothing but lists of numbers and nulls.

    Returns:
        The text with `stands_here` in the series' place, and the series, their values arrays, in parts that are read
        one by one; None where their form is another: then the text must be read as a whole. Reading a part raises
        MalformedJson and InvalidRequest as reading the whole would.
    """
    beginning = _BEGINNING.search(text)
    end = _END.search(text, beginning.end()) if beginning is not None else None
    if beginning is None or end is None:
        return None
    first, last = beginning.end(), end.start() + 1
    if text[first:last].translate(None, _LETTERS):
        return None
    return text[: first - 1] + _PLACE + text[end.end() :], _read_parts(text, first, last)


def stands_here(value: Any) -> bool:
    """Whether a parsed value is what `find_series` left in the series' place."""
    return bool(value == orjson.loads(_PLACE))


def _read_parts(text: bytes, first: int, last: int) -> Iterator[list[PostedSeries]]:
    n = 0
    while True:
        found = text.find(b"]", first + PIECE_BYTES, last)
        stop = last if found < 0 else found + 1
        lists = _read_lists(text[first:stop])
        if lists is None:
            _complain(text)
        yield [PostedSeries(str(i), f"/series/{i}", values) for i, values in enumerate(lists, n)]
        n += len(lists)
        if stop == last:
            return
        comma = text.find(b",", stop, last)
        if comma < 0 or text[stop:comma].strip():
            _complain(text)
        first = comma + 1


def _read_lists(text: bytes) -> list[NDArray[np.float64]] | None:
    """`[1, 2], [3, null]` as arrays, NaN for null; None where anything else is there."""
    try:
        rows = orjson.loads(b"[" + text + b"]")
    except orjson.JSONDecodeError:
        return None
    # A list has one bracket of its own: more are of lists inside lists.
    if text.count(b"[") != len(rows) or not all(type(row) is list for row in rows):
        return None
    flat = list(chain.from_iterable(rows))
    try:
        # Half the time of NumPy's own conversion, which is there for None and integers beyond float64's.
        numbers = np.frombuffer(array("d", flat)) if flat else np.empty(0)
    except (TypeError, OverflowError):
        numbers = np.array(flat, dtype=np.float64)
    return cut(numbers, np.fromiter(accumulate(map(len, rows)), np.intp, len(rows)))


def _complain(text: bytes) -> NoReturn:
    """Reads the text as a whole, for an error that says where it is wrong."""
    read_numbers(split(parse_json(text)["series"]))
    raise AssertionError("a body was refused in parts and accepted as a whole")
