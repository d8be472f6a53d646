"""Series as clients post them, made into arrays: their forms, strict types, missing values, what can't be forecast."""

import re
from collections.abc import Iterator
from itertools import accumulate, chain, islice
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.json_flaws import describe, escape, unknown_field, wrong_type
from service.domain.missing_words import MISSING_WORDS
from service.domain.panel import Panel
from service.errors import MOST_FLAWS, Flaw, InvalidRequest

Array = NDArray[np.float64]
Missing = Literal["interpolate", "ffill", "error"]

LONGEST_ID = 1000

FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT32_TINY = float(np.finfo(np.float32).tiny)
RECORD_FIELDS = ("id", "values", "start")

# A list of a large body has been read into an array already.
_LISTS = (list, np.ndarray)
_DIGITS = re.compile(r"[-+]?[\d.,' \u00a0\u2009\u202f]*\d[\d.,' ]*(?:[eE][-+]?\d+)?%?")
NUMBERS_AND_NULL = {float, int, type(None)}


# A tuple: a request may bring a hundred thousand, and a data class takes three times as long to make.
class PostedSeries(NamedTuple):
    """One series of a request. `pointer` leads to its list of values; `start` is its own, where it has one.

    `values` are parsed JSON; of an upload they are an array [time], NaN for null.
    """

    id: str
    pointer: str
    values: list[Any] | Array
    start: str | None = None


class ReadSeries(NamedTuple):
    """A series without missing values [time], from its first number to its last.

    `end` is how many values the series has up to that last number: nulls behind it are no data.
    """

    values: Array
    end: int


def split(posted: Any) -> list[PostedSeries]:
    """Takes apart the forms that `series` may have: one list, many lists, lists by id, or records.

    Args:
        posted: parsed JSON, or a list of PostedSeries, which stays as it is.

    Returns:
        At least one series, in the order of the request; their values are not looked at yet.

    Raises:
        InvalidRequest: another shape, no series, or two of one id.
    """
    if isinstance(posted, np.ndarray):
        return [PostedSeries("0", "/series", posted)]
    if type(posted) is dict and posted:
        return list(_by_id(posted))
    if type(posted) is list and posted:
        first = next((item for item in posted if item is not None), None)
        if type(first) in _LISTS:
            return [
                PostedSeries(str(i), f"/series/{i}", _list(values, f"/series/{i}")) for i, values in enumerate(posted)
            ]
        if type(first) is dict:
            return list(_records(posted))
        if type(first) is PostedSeries:
            return posted
        return [PostedSeries("0", "/series", posted)]
    if posted == [] or posted == {}:
        raise InvalidRequest.at("/series", "empty", "There is no series: expected at least one, got none.")
    raise wrong_type("/series", "one series, many, series by id, or records", posted)


def unpack(panel: Panel, pointer: str, *, numbered: bool = False) -> list[PostedSeries]:
    """The series of a panel, as if they had been posted.

    Args:
        pointer: leads to the upload's id in the request, or to the series themselves.
        numbered: whether it leads to them: each then has its number behind it.
    """
    return [
        PostedSeries(name, f"{pointer}/{i}" if numbered else pointer, values, start)
        for i, (name, values, start) in enumerate(zip(panel.ids, panel.values, panel.starts, strict=True))
    ]


def read_all(series: list[PostedSeries], missing: Missing) -> list[ReadSeries | Flaw]:
    """Makes an array of each series, with missing values filled, or tells what is wrong with it.

    Leading and trailing nulls are trimmed. `interpolate` fills gaps linearly by index, `ffill` carries the last value
    forward, `error` refuses nulls.

    Returns:
        For each series at least one point, or the flaw that keeps it from being forecast: `empty`, `all_null`,
        `missing_value`, `out_of_range`.

    Raises:
        InvalidRequest: something in a series is neither a number nor null; one flaw for each such series.
    """
    numbers, ends = _join(series)
    if are_plain(numbers, ends):
        return [ReadSeries(values, len(values)) for values in cut(numbers, ends)]
    read: list[ReadSeries | Flaw] = []
    for posted, values in zip(series, cut(numbers, ends), strict=True):
        filled = fill(posted.pointer, values, missing)
        read.append(filled if isinstance(filled, Flaw) else ReadSeries(filled, count_to_last(values)))
    return read


def count_to_last(values: Array) -> int:
    """How many values [time] there are up to the last number; NaN stands for null."""
    return len(values) - int(np.argmax(~np.isnan(values[::-1])))


def trim(values: Array) -> Array:
    """Values [time] from the first number to the last, of which there is at least one; NaN stands for null."""
    return values[int(np.argmax(~np.isnan(values))) : count_to_last(values)]


def read_numbers(series: list[PostedSeries]) -> list[Array]:
    """Makes an array [time] of each series, NaN for null, whatever may be wrong with its values.

    Raises:
        InvalidRequest: something in a series is neither a number nor null; one flaw for each such series.
    """
    return cut(*_join(series))


def fill(pointer: str, values: Array, missing: Missing) -> Array | Flaw:
    """What `read_all` makes of one series: from its first number to its last, gaps filled.

    `values` [time] have NaN where a value is missing.
    """
    if not values.size:
        return Flaw(pointer, "empty", "The series is empty: expected at least one point, got none.")
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        return Flaw(pointer, "all_null", "All values of the series are null: expected at least one number.")
    flaw = _out_of_range(values, pointer)
    if flaw is not None or known.size == values.size:
        return flaw or values
    if missing == "error":
        index = int(np.flatnonzero(np.isnan(values))[0])
        return Flaw(
            f"{pointer}/{index}",
            "missing_value",
            f"Value {index} is null and `missing` is 'error'. Send a number, or choose 'interpolate' or 'ffill'.",
        )
    return _fill_gaps(values, known, missing)


def cut(values: Array, ends: NDArray[np.intp]) -> list[Array]:
    """Takes arrays apart that stand one behind the other; `np.split` takes ten times as long for short ones."""
    if len(ends) == 1:
        return [values]
    stops: list[int] = ends.tolist()
    return [values[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def are_plain(numbers: Array, ends: NDArray[np.intp]) -> bool:
    """Whether every series, cut from `numbers` at `ends`, can be forecast as it is."""
    # NaN, which stands for null, fails both comparisons.
    if len(ends) == 1:
        if not numbers.size:
            return False
        peak = float(np.maximum.reduce(np.abs(numbers)))
        return FLOAT32_TINY <= peak <= FLOAT32_MAX or peak == 0
    starts = np.concatenate([[0], ends[:-1]])
    if (starts == ends).any():
        return False
    peaks = np.maximum.reduceat(np.abs(numbers), starts)
    return bool((((peaks >= FLOAT32_TINY) & (peaks <= FLOAT32_MAX)) | (peaks == 0)).all())


def _join(series: list[PostedSeries]) -> tuple[Array, NDArray[np.intp]]:
    """The numbers of all series one behind the other, NaN for null, and where each series ends."""
    ends = np.fromiter(accumulate(len(posted.values) for posted in series), np.intp, len(series))
    arrays = [isinstance(posted.values, np.ndarray) for posted in series]
    if any(arrays):
        if len(series) == 1:
            return np.asarray(series[0].values, dtype=np.float64), ends
        if not all(arrays):
            lists = [posted for posted, is_array in zip(series, arrays, strict=True) if not is_array]
            read = iter(read_numbers(lists))
            series = [
                posted if is_array else posted._replace(values=next(read))
                for posted, is_array in zip(series, arrays, strict=True)
            ]
        return np.concatenate([posted.values for posted in series], dtype=np.float64), ends
    # All at once: a conversion for each of thousands of short series costs three times as much.
    flat = series[0].values if len(series) == 1 else list(chain.from_iterable(posted.values for posted in series))
    if not set(map(type, flat)) <= NUMBERS_AND_NULL:
        raise InvalidRequest(
            list(islice((flaw for posted in series if (flaw := _mistyped(posted)) is not None), MOST_FLAWS))
        )
    # None becomes NaN; JSON itself holds no NaN that this could be taken for.
    return np.array(flat, dtype=np.float64), ends


def _fill_gaps(values: Array, known: NDArray[np.intp], missing: Missing) -> Array:
    """`known` [n] are the positions of numbers, at least one."""
    positions = np.arange(known[0], known[-1] + 1)
    if missing == "interpolate":
        return np.interp(positions, known, values[known])
    return values[known[np.searchsorted(known, positions, side="right") - 1]]


def _out_of_range(values: Array, pointer: str) -> Flaw | None:
    magnitudes = np.abs(values)
    peak = float(np.fmax.reduce(magnitudes))
    if peak > FLOAT32_MAX:
        index = int(np.flatnonzero(magnitudes > FLOAT32_MAX)[0])
        return Flaw(
            f"{pointer}/{index}",
            "out_of_range",
            f"Value {index} is {values[index]:g}: expected a magnitude of at most {FLOAT32_MAX:.4g}, which is what a "
            "32-bit number holds. Send the series in a larger unit.",
        )
    if 0 < peak < FLOAT32_TINY:
        return Flaw(
            pointer,
            "out_of_range",
            f"No value of the series is larger than {peak:g}: expected a magnitude of at least {FLOAT32_TINY:.4g} "
            "somewhere, which is what a 32-bit number holds. Send the series in a smaller unit.",
        )
    return None


def _mistyped(series: PostedSeries) -> Flaw | None:
    for i, value in enumerate(series.values):
        if type(value) not in NUMBERS_AND_NULL:
            flaw = wrong_type(f"{series.pointer}/{i}", "a number or null", value).flaws[0]
            return _advise(flaw, value)
    return None


def _advise(flaw: Flaw, value: Any) -> Flaw:
    """The flaw of a value that is no number, with what to send in its place where that can be told."""
    if type(value) is not str:
        return flaw
    if value.strip().lower() in MISSING_WORDS:
        advice = "Send null where a value is missing."
    elif _DIGITS.fullmatch(value.strip()):
        advice = "Send numbers without quotes, with a point as the decimal point and without grouping."
    else:
        return flaw
    return Flaw(flaw.pointer, flaw.code, f"{flaw.message} {advice}")


def _by_id(posted: dict[str, Any]) -> Iterator[PostedSeries]:
    for key, values in posted.items():
        if len(key) > LONGEST_ID:
            # Its pointer would be as long.
            raise InvalidRequest.at("/series", "out_of_bounds", _describe_id(key))
        pointer = f"/series/{escape(key)}"
        yield PostedSeries(key, pointer, _list(values, pointer))


def _records(posted: list[Any]) -> Iterator[PostedSeries]:
    seen: set[str] = set()
    for i, record in enumerate(posted):
        pointer = f"/series/{i}"
        if type(record) is not dict:
            raise wrong_type(pointer, "an object with id and values, as the others", record)
        for field in record:
            if field not in RECORD_FIELDS:
                raise InvalidRequest([unknown_field(field, f"{pointer}/{escape(field)}", list(RECORD_FIELDS))])
        for field in ("id", "values"):
            if field not in record:
                raise InvalidRequest.at(f"{pointer}/{field}", "missing_field", f"The record has no {field!r}: add it.")
        name, start = record["id"], record.get("start")
        if type(name) is not str:
            raise wrong_type(f"{pointer}/id", "a string", name)
        if start is not None and type(start) is not str:
            raise wrong_type(f"{pointer}/start", "an ISO date-time as a string", start)
        if len(name) > LONGEST_ID:
            raise InvalidRequest.at(f"{pointer}/id", "out_of_bounds", _describe_id(name))
        if name in seen:
            raise InvalidRequest.at(
                f"{pointer}/id", "duplicate_id", f"Two series have the id {describe(name)}: ids must differ."
            )
        seen.add(name)
        yield PostedSeries(name, f"{pointer}/values", _list(record["values"], f"{pointer}/values"), start)


def _describe_id(name: str) -> str:
    return f"An id has at most {LONGEST_ID} characters, got {len(name)}: {describe(name)}."


def _list(values: Any, pointer: str) -> Any:
    if type(values) not in _LISTS:
        raise wrong_type(pointer, "an array of numbers and nulls", values)
    return values
