"""Reads large bodies of many series lazily, part by part, into arrays.

So no list of millions of numbers is ever in memory; the first series are computed while the next are read; and between
two pieces, a millisecond each, other threads, the event loop's among them, get the interpreter.
"""

import re
from collections.abc import Iterator
from itertools import accumulate, chain
from typing import Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from service.api.json_numbers import BodyLimits, read_list, to_array
from service.api.strict_json import Text, complain, explain
from service.domain.json_flaws import describe
from service.domain.series import PostedSeries, cut, read_numbers
from service.errors import InvalidRequest

# Smaller bodies are parsed whole: in the time that a hop to a thread takes.
BULK_BYTES = 2**17
# A series of 50 numbers takes 400 bytes: about as many as one engine call computes.
PIECE_BYTES = 3 * 2**14
# As much of a text as is looked through at once.
LOOK_BYTES = 2**20
_BEGINNING = re.compile(rb'"series"\s*:\s*\[(?=\s*\[)')
# JSON of these letters alone is lists, numbers and null.
_LETTERS = b"0123456789.-+eEnul,[] \t\r\n"
_PLACE = b'"series stand here"'
NO_LIMITS = BodyLimits(values=2**62, series=2**62)


class BulkSeries(Iterator[list[PostedSeries]]):
    """Series of a body, in parts that are read one by one.

    `n_series` is how many there are, `n_points` the most values that they can hold.
    """

    def __init__(self, parts: Iterator[list[PostedSeries]], n_series: int, n_points: int) -> None:
        self._parts = parts
        self.n_series = n_series
        self.n_points = n_points

    def __next__(self) -> list[PostedSeries]:
        return next(self._parts)


def find_series(text: Text, limits: BodyLimits = NO_LIMITS) -> tuple[Text, BulkSeries] | None:
    """Takes `"series": [[..], [..]]` out of a JSON text, where it is nothing but lists of numbers and nulls.

    Returns:
        The text with `stands_here` in the series' place, and the series, their values arrays; None where their form is
        another: then the text must be read as a whole. Reading a part raises MalformedJson and InvalidRequest as
        reading the whole would.

    Raises:
        InvalidRequest: there are more series than may be.
    """
    # What stands before them is short.
    beginning = _BEGINNING.search(text, 0, LOOK_BYTES)
    if beginning is None:
        return None
    first = beginning.end()
    stop = _find_other(text, first)
    end = text.rfind(b"]", first, stop)
    last = text.rfind(b"]", first, max(first, end)) + 1
    if last <= 0 or text[last:end].strip() or _has_long_list(text, first, last):
        return None
    n_series = _count(text, b"[", first, last)
    limits.check_series(n_series)
    n_points = _count(text, b",", first, last) + 1
    limits.check_values(n_points - n_series)
    rest = text[: first - 1] + _PLACE + text[end + 1 :]
    return rest, BulkSeries(_read_parts(text, first, last, limits), n_series, n_points)


def stands_here(value: Any) -> bool:
    """Whether a parsed value is what `find_series` left in the series' place."""
    return bool(value == orjson.loads(_PLACE))


def _find_other(text: Text, first: int) -> int:
    """Where the first byte stands that is none of lists of numbers."""
    for begin in range(first, len(text), LOOK_BYTES):
        # Deleting what may stand there is the fastest way to find whether something else does, and what comes first.
        others = text[begin : begin + LOOK_BYTES].translate(None, _LETTERS)
        if others:
            return text.find(others[:1], begin)
    return len(text)


def _has_long_list(text: Text, first: int, last: int) -> bool:
    """Whether a series takes so much that it should be read on its own."""
    while first < last:
        end = text.rfind(b"]", first, min(first + LOOK_BYTES, last))
        if end < 0:
            return True
        first = end + 1
    return False


def _count(text: Text, letter: bytes, first: int, last: int) -> int:
    return sum(text.count(letter, i, min(i + LOOK_BYTES, last)) for i in range(first, last, LOOK_BYTES))


def _read_parts(text: Text, first: int, last: int, limits: BodyLimits) -> Iterator[list[PostedSeries]]:
    n = n_values = 0
    while True:
        bracket = text.find(b"]", first + PIECE_BYTES, last)
        stop = last if bracket < 0 else bracket + 1
        lists = _read_lists(text, first, stop, n)
        n_values += sum(map(len, lists))
        limits.check_values(n_values)
        yield [PostedSeries(str(i), f"/series/{i}", values) for i, values in enumerate(lists, n)]
        n += len(lists)
        if stop == last:
            return
        comma = text.find(b",", stop, last)
        if comma < 0 or text[stop:comma].strip():
            complain(text, stop, "expected a comma between two series")
        first = comma + 1


def _read_lists(text: Text, first: int, stop: int, n_before: int) -> list[NDArray[np.float64]]:
    """`[1, 2], [3, null]` as arrays, NaN for null. Raises MalformedJson, InvalidRequest."""
    if stop - first > 2 * PIECE_BYTES:
        # The last list is a long one.
        begin = text.rfind(b"[", first, stop)
        head = text[first:begin].rstrip()
        if head.endswith(b"["):
            i = n_before + head.count(b"]")
            raise InvalidRequest.at(f"/series/{i}/0", "wrong_type", "Expected a number or null, got an array.")
        if head and not head.endswith(b","):
            complain(text, begin, "expected a comma between two series")
        if head.strip() == b",":
            complain(text, begin, "expected a series between two commas")
        lists = _read_lists(text, first, first + len(head) - 1, n_before) if head else []
        return [*lists, read_list(text, begin + 1, stop - 1)]
    try:
        rows = orjson.loads(b"[" + text[first:stop] + b"]")
    except orjson.JSONDecodeError as error:
        complain(text, first + error.pos - 1, explain(text, error))
    # A list has one bracket of its own: more are of lists inside lists.
    if text.count(b"[", first, stop) != len(rows) or not all(type(row) is list for row in rows):
        _complain(rows, n_before)
    numbers = to_array(list(chain.from_iterable(rows)))
    return cut(numbers, np.fromiter(accumulate(map(len, rows)), np.intp, len(rows)))


def _complain(rows: list[Any], n_before: int) -> NoReturn:
    """Says what in a part is not a list of numbers."""
    series = []
    for i, row in enumerate(rows, n_before):
        if type(row) is not list:
            raise InvalidRequest.at(
                f"/series/{i}", "wrong_type", f"Expected an array of numbers and nulls, got {describe(row)}."
            )
        series.append(PostedSeries(str(i), f"/series/{i}", row))
    read_numbers(series)
    raise AssertionError("a body was refused in parts and accepted as a whole")
