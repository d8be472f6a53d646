"""JSON answers, written by orjson: NumPy arrays as they are. It writes null for NaN, and our arrays hold none."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response


class _JsonAnswer(Response):
    """What Response makes of a body with status 200, without its search for headers that are there already."""

    def __init__(self, body: bytes) -> None:
        self.status_code = HTTPStatus.OK
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


def write_json(value: Any) -> bytes:
    """A value as JSON; it may hold NumPy arrays and numbers."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body."""
    body = write_json(value)
    if status == HTTPStatus.OK and headers is None:
        return _JsonAnswer(body)
    return Response(body, status, headers, "application/json")


def json_text_response(body: bytes) -> Response:
    """An answer whose JSON has been written."""
    return _JsonAnswer(body)


def list_response(
    noun: str,
    items: list[Any],
    next_cursor: str | None = None,
    status: int = 200,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """A list, as every route gives it; `members` stand beside it."""
    return json_response({noun: items, **(members or {}), "next_cursor": next_cursor}, status)
