"""Parses large JSON texts that are mostly lists of numbers: the lists become arrays before the rest is parsed.

So no list of millions of Python numbers is ever in memory, and between two pieces, a millisecond each, other threads,
the event loop's among them, get the interpreter. Where the lists stand, and how much there is of everything, is known
before the first of them is read.
"""

import json
import re
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from service.api.strict_json import Text, complain, count_lines, explain, read_carefully
from service.errors import InvalidRequest

PIECE_BYTES = 2**18
# As much as the pattern below passes over in a millisecond.
LOOK_BYTES = 2**16
# Shorter lists are left to the parser, `level` among them.
SHORT_BYTES = 32
# Ids, names and times are shorter, by far.
LONGEST_STRING_BYTES = 10_000
# Numbers are shorter, and the space between them.
LONGEST_GAP_BYTES = 2**19
# What a text may hold beside lists of numbers: it is parsed at once.
MOST_REST_BYTES = 2**24
# A record is an object with three members and two strings, which are ten quotes, and ids may hold a few; a short list a
# dozen values.
BRACES_OF_A_SERIES = 2
QUOTES_OF_A_SERIES = 14
COMMAS_OF_A_SERIES = 12
# A record has three.
MEMBERS_OF_AN_OBJECT = 10
SPARE = 1000

# Neither lists nor words that are no JSON, but strings with at most 100 escapes, and no more than LONGEST_STRING_BYTES.
# Nothing in it can be tried in two ways: so it takes time in proportion, and no memory.
_PASSED = re.compile(rb'[^"\[NI]*+(?:"[^"\\]{0,1000}+(?:\\.[^"\\]{0,88}+){0,100}+"[^"\[NI]*+)*+', re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD]")
_NO_NUMBER = re.compile(rb"[^0-9eE+\-.,nul \t\r\n]")


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Limits on all series of one body."""

    values: int
    series: int

    def check_values(self, n_values: int) -> None:
        """Raises InvalidRequest where there are more values than may be."""
        if n_values > self.values:
            raise InvalidRequest.at(
                "",
                "too_many_points",
                f"The series of the body hold more than {self.values} values. Send them in several requests, upload a "
                "file with POST /datasets, or raise OUTFIELDER_MAX_BODY_VALUES on the server.",
            )

    def check_series(self, n_series: int) -> None:
        """Raises InvalidRequest where there are more series than may be."""
        if n_series > self.series:
            raise InvalidRequest.at(
                "",
                "too_many_series",
                f"The body holds more than {self.series} series. Send them in several requests, upload a file with "
                "POST /datasets, or raise OUTFIELDER_MAX_BODY_SERIES on the server.",
            )


def parse_large(text: Text, limits: BodyLimits) -> Any:
    """The value of a JSON text, in which lists of numbers are arrays, NaN for null.

    Raises:
        MalformedJson: as `parse_json`.
        InvalidRequest: it holds more than the limits, a string that is too long, or too much besides numbers.
    """
    return _Reading(text, limits).read()


def read_list(text: Text, first: int, last: int) -> NDArray[np.float64]:
    """The numbers of a list, whose brackets stand before `first` and at `last`; NaN for null.

    Between them are none but the letters of numbers and null.

    Raises:
        MalformedJson.
        InvalidRequest: two commas are so far apart that what is between them could not be read in a short time.
    """
    arrays: list[NDArray[np.float64]] = []
    while True:
        comma = text.find(b",", first + PIECE_BYTES, last)
        stop = last if comma < 0 else comma
        if stop - first > PIECE_BYTES + LONGEST_GAP_BYTES:
            _refuse_gap(text, first + PIECE_BYTES)
        try:
            numbers = orjson.loads(b"[" + text[first:stop] + b"]")
        except orjson.JSONDecodeError as error:
            complain(text, first + error.pos - 1, explain(text, error))
        if not numbers and (arrays or comma >= 0):
            complain(text, stop, "a comma without a value")
        arrays.append(to_array(numbers))
        if comma < 0:
            return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        first = comma + 1


def to_array(numbers: list[Any]) -> NDArray[np.float64]:
    """Numbers and None as an array, NaN for None."""
    try:
        # Half the time of NumPy's own conversion, which is there for None and integers beyond float64's.
        return np.frombuffer(array("d", numbers)) if numbers else np.empty(0)
    except (TypeError, OverflowError):
        return np.array(numbers, dtype=np.float64)


def _refuse_gap(text: Text, place: int) -> NoReturn:
    raise InvalidRequest.at(
        "",
        "out_of_bounds",
        f"A list of the body goes on for more than {LONGEST_GAP_BYTES} bytes without a comma (line "
        f"{count_lines(text, place)}): expected numbers of a few digits, with little space between them.",
    )


class _Reading:
    """One text on its way: what is taken out, and where the rest of it stood."""

    def __init__(self, text: Text, limits: BodyLimits) -> None:
        self._text = text
        self._limits = limits
        # Where each list begins and ends, one after the other.
        self._lists = array("q")
        self._rest: list[Text] = []
        self._rest_bytes = 0
        # Where each part of the rest begins, in the rest and in the text.
        self._starts: list[tuple[int, int]] = []
        self._n_commas = self._n_brackets = 0

    def read(self) -> Any:
        self._find_lists()
        rest = b"".join(self._rest)
        del self._rest[:]
        n_series = self._limits.series
        for letter, most in (
            (b"{", BRACES_OF_A_SERIES * n_series + SPARE),
            (b",", COMMAS_OF_A_SERIES * n_series),
            (b'"', QUOTES_OF_A_SERIES * n_series + SPARE),
        ):
            if rest.count(letter) > most:
                self._limits.check_series(n_series + 1)
        self._check_members(rest)
        arrays = iter(self._read_lists())
        if _SURROGATE.search(rest):
            self._check_surrogates(rest)
        try:
            return read_carefully(rest, lambda word: next(arrays))
        except json.JSONDecodeError as error:
            place = len(error.doc[: error.pos].encode())
            complain(self._text, self._find_origin(place), error.msg[:1].lower() + error.msg[1:])

    def _check_members(self, rest: bytes) -> None:
        """So many fields are unknown ones: to name a few, all would have to be read."""
        dense = rest.translate(None, b" \t\r\n")
        # Inside a string a quote has a backslash before it.
        n_members = dense.count(b'":') - dense.count(b'\\":')
        most = self._limits.series + MEMBERS_OF_AN_OBJECT * dense.count(b"{") + SPARE
        if n_members > most:
            raise InvalidRequest.at(
                "",
                "out_of_bounds",
                f"The objects of the body have {n_members} fields: expected at most the ids of {self._limits.series} "
                f"series, and {MEMBERS_OF_AN_OBJECT} fields in each object.",
            )

    def _read_lists(self) -> list[NDArray[np.float64]]:
        arrays, n_values = [], 0
        for first, last in zip(self._lists[::2], self._lists[1::2], strict=True):
            arrays.append(read_list(self._text, first + 1, last))
            n_values += len(arrays[-1])
            self._limits.check_values(n_values)
        return arrays

    def _check_surrogates(self, rest: bytes) -> None:
        """Refuses half a surrogate pair, which isn't a character and could not be written in an answer."""
        try:
            orjson.loads(rest.replace(b"NaN", b"  0"))
        except orjson.JSONDecodeError as error:
            place = len(error.doc[: error.pos].encode())
            complain(self._text, self._find_origin(place), explain(rest, error))

    def _find_lists(self) -> None:
        text, size = self._text, len(self._text)
        kept = place = 0
        while place < size:
            stop = min(place + LOOK_BYTES, size)
            passed = _PASSED.match(text, place, stop)
            assert passed is not None  # it may be empty, but is always there
            place = passed.end()
            self._check_rest(self._rest_bytes + place - kept, place)
            if place == stop:
                continue
            if text[place] == ord('"'):
                place = self._skip_string(place)
            elif text[place] != ord("["):
                complain(text, place, "NaN, Infinity and words other than null, true and false are not JSON: send null")
            else:
                end = self._find_end(place)
                if end is None or end - place < SHORT_BYTES:
                    place += 1
                    continue
                self._keep(kept, place)
                self._lists.extend((place, end))
                self._rest.append(b"NaN")
                self._rest_bytes += 3
                kept = place = end + 1
        self._keep(kept, size)

    def _keep(self, first: int, last: int) -> None:
        self._starts.append((self._rest_bytes, first))
        self._rest.append(self._text[first:last])
        self._rest_bytes += last - first

    def _find_end(self, place: int) -> int | None:
        """Where a list of nothing but numbers ends that begins at a bracket; None for a list of other things."""
        self._n_brackets += 1
        if self._n_brackets > self._limits.series + SPARE:
            self._limits.check_series(self._n_brackets)
        first = comma = place + 1
        n_commas = 0
        while first < len(self._text):
            match = _NO_NUMBER.search(self._text, first, first + PIECE_BYTES)
            last = first + PIECE_BYTES if match is None else match.start()
            # More than may be need not be read to be refused.
            n_commas += self._text.count(b",", first, last)
            self._limits.check_values(self._n_commas + n_commas)
            if match is not None:
                if match.group() == b"]":
                    self._n_commas += n_commas
                    return last
                self._check_rest(last - place, last)
                return None
            comma = max(comma, self._text.rfind(b",", first, last))
            if last - comma > LONGEST_GAP_BYTES:
                _refuse_gap(self._text, comma)
            first = last
        return None

    def _skip_string(self, place: int) -> int:
        """The place behind a string that begins at a quote."""
        string = _STRING.match(self._text, place, place + LONGEST_STRING_BYTES + 2)
        if string is None:
            self._refuse_string(place)
        return string.end()

    def _refuse_string(self, place: int) -> NoReturn:
        if place + LONGEST_STRING_BYTES >= len(self._text):
            complain(self._text, place, "a string without an end")
        raise InvalidRequest.at(
            "",
            "out_of_bounds",
            f"A string of the body is longer than {LONGEST_STRING_BYTES} bytes (line "
            f"{count_lines(self._text, place)}): expected ids, names and times to be short.",
        )

    def _check_rest(self, n_bytes: int, place: int) -> None:
        if n_bytes > MOST_REST_BYTES:
            raise InvalidRequest.at(
                "",
                "out_of_bounds",
                f"The body holds more than {MOST_REST_BYTES} bytes beside lists of numbers and null, before line "
                f"{count_lines(self._text, place)}: expected the values of series to be such lists, and no more "
                "than ids and times beside them.",
            )

    def _find_origin(self, place: int) -> int:
        """Maps a position in the rest back to the text."""
        i = bisect_right(self._starts, (place, len(self._text))) - 1
        start, origin = self._starts[i]
        return min(origin + place - start, len(self._text))
