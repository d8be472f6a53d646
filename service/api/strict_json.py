"""Strict JSON: no NaN, no repeated names, and errors that say where."""

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

import orjson

from service.domain.json_flaws import describe
from service.errors import MalformedJson

Text = bytes | bytearray
# Numbers beyond become floats, as they are read where series are.
_LARGEST_INTEGER = 2**64 - 1
_SMALLEST_INTEGER = -(2**63)
_NO_NUMBER = re.compile(rb"-?(NaN|Infinity|inf|nan)")
_NO_NUMBER_MESSAGE = "NaN, Infinity and numbers beyond 64 bits are not JSON: send null for a missing value"


def parse_json(text: Text) -> Any:
    """Parses a JSON text; NaN, Infinity and numbers beyond float64 are refused.

    Raises:
        MalformedJson: also where an object has two members of one name, of which one would be lost.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(_explain(text, error)) from error
    # Every member has one colon. More colons than members: some are inside strings, or a member was lost.
    colons = text.count(b":")
    if colons:
        n_members = len(value) if isinstance(value, dict) and text.count(b"{") == 1 else _count_members(value)
        if colons != n_members:
            read_carefully(text)
    return value


def read_carefully(text: Text, take: Callable[[str], Any] | None = None) -> Any:
    """The value of a JSON text by a reader that sees every member, and lets other threads run now and then.

    Args:
        take: the values to put in place of NaN words, which are otherwise refused.

    Raises:
        MalformedJson.
        json.JSONDecodeError: it isn't JSON, with `take` given: the caller knows the place in the text.
    """
    try:
        return json.loads(
            text.decode(),
            object_pairs_hook=_read_members,
            parse_constant=take or _refuse_constant,
            parse_float=_read_float,
            parse_int=_read_integer,
        )
    except UnicodeDecodeError as error:
        raise MalformedJson("The body is not JSON: it is not UTF-8.") from error
    except RecursionError as error:
        raise MalformedJson("The body is not JSON: it is nested too deeply.") from error
    except json.JSONDecodeError as error:
        if take is not None:
            raise
        raise MalformedJson(f"The body is not JSON, at line {error.lineno}, column {error.colno}.") from error


def complain(text: Text, position: int, what: str) -> NoReturn:
    """Raises MalformedJson that says where in a text something stands."""
    column = position - (text.rfind(b"\n", 0, position) + 1) + 1
    raise MalformedJson(f"The body is not JSON, at line {count_lines(text, position)}, column {column}: {what}.")


def count_lines(text: Text, position: int) -> int:
    """The number of the line, from 1, that a position of a text is in."""
    return text.count(b"\n", 0, position) + 1


def explain(text: Text, error: orjson.JSONDecodeError) -> str:
    """Says what is wrong with a text that isn't JSON."""
    beginning = error.doc[error.pos : error.pos + 9]
    if _NO_NUMBER.match(beginning.encode()) or "infinity" in error.msg:
        return _NO_NUMBER_MESSAGE
    return "it is nested too deeply" if "depth" in error.msg else error.msg


def _explain(text: Text, error: orjson.JSONDecodeError) -> str:
    if not text.strip():
        return "The body is empty: expected a JSON object."
    return f"The body is not JSON, at line {error.lineno}, column {error.colno}: {explain(text, error)}."


def _read_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise MalformedJson(
                    f"An object of the body has two members with the same name, {describe(name)}: names must differ."
                )
            seen.add(name)
    return members


def _refuse_constant(word: str) -> NoReturn:
    raise MalformedJson(f"The body is not JSON: {_NO_NUMBER_MESSAGE}.")


def _read_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise MalformedJson(f"The body is not JSON: {_NO_NUMBER_MESSAGE}.")
    return value


def _read_integer(text: str) -> int | float:
    if len(text) > 20:
        return _read_float(text)
    value = int(text)
    return value if _SMALLEST_INTEGER <= value <= _LARGEST_INTEGER else float(value)


def _count_members(value: Any) -> int:
    """The members of all objects in a JSON value; lists of numbers are passed over quickly."""
    total = 0
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            total += len(current)
            waiting.extend(current.values())
        elif isinstance(current, list) and not set(map(type, current)).isdisjoint((dict, list)):
            waiting.extend(current)
    return total
