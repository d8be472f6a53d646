"""Request headers that the API reads."""

import re
from typing import Any

from starlette.requests import Request

from service.domain.json_flaws import describe
from service.errors import InvalidRequest

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}\Z")
# A stream never holds more events than this has digits for.
_EVENT_ID = re.compile(r"[0-9]{1,12}\Z")


_TAG = re.compile(r'\s*(?:W/)?"([\x21\x23-\x7e]{0,200})"\s*\Z')
TAG_PARAMETER = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The ETag of the upload: it is replaced only if it is still as it was then.",
}


def make_key_parameter(answer: str) -> dict[str, Any]:
    """The header Idempotency-Key for OpenAPI; `answer` is what is returned to a key that is known."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": f"With the same key and body, {answer} is returned.",
    }


def read_idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key, if there is one. Raises InvalidRequest."""
    key = request.headers.get("idempotency-key")
    if key is None or _PRINTABLE.match(key):
        return key
    raise InvalidRequest.at(
        "/Idempotency-Key", "bad_header", "An Idempotency-Key has 1 to 255 printable ASCII characters."
    )


def read_last_event_id(request: Request) -> int:
    """The number of the last event that a client saw; 0 for none. Raises InvalidRequest."""
    text = request.headers.get("last-event-id", "0")
    if _EVENT_ID.match(text):
        return int(text)
    raise InvalidRequest.at(
        "/Last-Event-ID", "bad_header", f"Expected the id of an event of this stream, a number, got {describe(text)}."
    )


def read_tags(request: Request) -> tuple[str, ...] | None:
    """The entity tags of If-Match; None where there are none, or any will do. Raises InvalidRequest."""
    text = ",".join(request.headers.getlist("if-match"))
    if not text or text.strip() == "*":
        return None
    found = [_TAG.match(part) for part in text.split(",")]
    if not all(found):
        message = f'If-Match has ETags in quotes, such as "5f0c", or *; got {describe(text)}.'
        raise InvalidRequest.at("/If-Match", "bad_header", message)
    return tuple(tag[1] for tag in found if tag is not None)
