"""JSON answers, written by orjson: NumPy arrays as they are. It writes null for NaN, and our arrays hold none."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body."""
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, headers, "application/json")


def list_response(noun: str, items: list[Any], next_cursor: str | None = None, status: int = 200) -> Response:
    """A list, as every route gives it."""
    return json_response({noun: items, "next_cursor": next_cursor}, status)
