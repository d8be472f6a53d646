"""JSON texts, strictly: no NaN, no names twice, and errors that say where."""

import re
from typing import Any

import orjson

from service.errors import MalformedJson

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


def parse_json(text: bytes) -> Any:
    """The value of a JSON text; NaN, Infinity and numbers beyond float64 are no JSON.

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
        if colons != n_members and _STRING.sub(b"", text).count(b":") != n_members:
            raise MalformedJson("An object of the body has two members of the same name: names must differ.")
    return value


def _explain(text: bytes, error: orjson.JSONDecodeError) -> str:
    if not text.strip():
        return "The body is empty: expected a JSON object."
    if re.match(r"-?(NaN|Infinity|inf|nan)", error.doc[error.pos : error.pos + 9]) or "infinity" in error.msg:
        what = "NaN, Infinity and numbers beyond 64 bits are no JSON: send null for a missing value"
    elif "depth" in error.msg:
        what = "it is nested too deeply"
    else:
        what = error.msg
    return f"The body is not JSON, at line {error.lineno}, column {error.colno}: {what}."


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
