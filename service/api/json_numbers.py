"""Large JSON texts whose bulk is lists of numbers: each becomes an array, a piece at a time, before the rest is parsed.

So no list of millions of Python numbers is ever in memory, and between two pieces, a millisecond each, other threads,
the event loop's among them, get the interpreter.
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
# Shorter lists are left to the parser, `level` among them.
SHORT_BYTES = 32
# Ids, names and times are shorter, by far.
LONGEST_STRING_BYTES = 10_000
# What a text may hold beside lists of numbers: it is parsed at once.
MOST_REST_BYTES = 2**24
# A record has three members and two strings, which are five strings in all; a short list a dozen values.
STRINGS_OF_A_SERIES = 6
COMMAS_OF_A_SERIES = 12
SPARE = 1000

_NEXT = re.compile(rb'["\[NI]')
_SURROGATE = re.compile(rb"\\u[dD]")
_NO_NUMBER = re.compile(rb"[^0-9eE+\-.,nul \t\r\n]")


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What the series of one body may hold together."""

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

    Between them are none but the letters of numbers and null. Raises MalformedJson.
    """
    arrays: list[NDArray[np.float64]] = []
    while True:
        comma = text.find(b",", first + PIECE_BYTES, last)
        stop = last if comma < 0 else comma
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


class _Reading:
    """One text on its way: what was taken out, and where the rest of it stood."""

    def __init__(self, text: Text, limits: BodyLimits) -> None:
        self._text = text
        self._limits = limits
        self._arrays: list[NDArray[np.float64]] = []
        self._rest: list[Text] = []
        self._rest_bytes = 0
        # Where each part of the rest begins, in the rest and in the text.
        self._starts: list[tuple[int, int]] = []
        self._n_values = self._n_brackets = self._n_strings = 0

    def read(self) -> Any:
        self._take_lists()
        rest = b"".join(self._rest)
        del self._rest[:]
        for letter, most in ((b"{", self._limits.series + SPARE), (b",", COMMAS_OF_A_SERIES * self._limits.series)):
            if rest.count(letter) > most:
                self._limits.check_series(self._limits.series + 1)
        if _SURROGATE.search(rest):
            self._check_surrogates(rest)
        arrays = iter(self._arrays)
        try:
            return read_carefully(rest, lambda word: next(arrays))
        except json.JSONDecodeError as error:
            place = len(error.doc[: error.pos].encode())
            complain(self._text, self._find_origin(place), error.msg[:1].lower() + error.msg[1:])

    def _check_surrogates(self, rest: bytes) -> None:
        """Half a surrogate pair is no character, and could not be written in an answer."""
        try:
            orjson.loads(rest.replace(b"NaN", b"  0"))
        except orjson.JSONDecodeError as error:
            place = len(error.doc[: error.pos].encode())
            complain(self._text, self._find_origin(place), explain(rest, error))

    def _take_lists(self) -> None:
        text, size = self._text, len(self._text)
        kept = place = 0
        while place < size:
            match = _NEXT.search(text, place, place + PIECE_BYTES)
            self._check_rest(self._rest_bytes + place - kept, place)
            if match is None:
                place += PIECE_BYTES
                continue
            place = match.start()
            if text[place] == ord('"'):
                place = self._skip_string(place)
            elif text[place] != ord("["):
                complain(text, place, "NaN, Infinity and words other than null, true and false are no JSON: send null")
            else:
                end = self._find_end(place)
                if end is None or end - place < SHORT_BYTES:
                    place += 1
                    continue
                self._keep(kept, place)
                numbers = read_list(text, place + 1, end)
                self._n_values += len(numbers)
                self._limits.check_values(self._n_values)
                self._arrays.append(numbers)
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
        first, n_commas = place + 1, 0
        while first < len(self._text):
            match = _NO_NUMBER.search(self._text, first, first + PIECE_BYTES)
            if match is not None:
                if match.group() == b"]":
                    return match.start()
                self._check_rest(match.start() - place, match.start())
                return None
            # More than may be need not be read to be refused.
            n_commas += self._text.count(b",", first, first + PIECE_BYTES)
            self._limits.check_values(self._n_values + n_commas)
            first += PIECE_BYTES
        return None

    def _skip_string(self, place: int) -> int:
        """The place behind a string that begins at a quote."""
        self._n_strings += 1
        if self._n_strings > STRINGS_OF_A_SERIES * self._limits.series + SPARE:
            self._limits.check_series(self._limits.series + 1)
        text, end = self._text, place
        while True:
            end = text.find(b'"', end + 1, place + LONGEST_STRING_BYTES + 2)
            if end < 0:
                self._refuse_string(place)
            n_escapes = 0
            while text[end - 1 - n_escapes] == ord("\\"):
                n_escapes += 1
            if n_escapes % 2 == 0:
                return end + 1

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
        """Where in the text stood what stands at a place of the rest."""
        i = bisect_right(self._starts, (place, len(self._text))) - 1
        start, origin = self._starts[i]
        return min(origin + place - start, len(self._text))
