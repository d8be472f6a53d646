"""The formats of forecasts: what a body is by its Content-Type, and what the answer is to be by Accept."""

from typing import NamedTuple

from starlette.requests import Request

JSON = "application/json"
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
CSV = "text/csv"
TABLES = (ARROW, PARQUET, CSV)
# The first of those that a client likes as well as another.
ANSWERS = (JSON, NDJSON, *TABLES)
_PLAIN = (b"", b"*/*", JSON.encode())


class Formats(NamedTuple):
    """Media types: `body` is `JSON` where it is no table, `answer` one of `ANSWERS`."""

    body: str
    answer: str


PLAIN = Formats(JSON, JSON)


def find_formats(request: Request) -> Formats:
    """The formats of a request. What is no table is read as JSON, whose reader refuses other types; where nothing that
    the client accepts is known here, it gets JSON, as RFC 9110 (12.5.1) allows.
    """
    content_type = accept = b""
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"accept":
            accept = accept + b"," + value if accept else value
    if content_type == _PLAIN[2] and accept in _PLAIN:
        return PLAIN
    media_type = content_type.decode("latin-1").partition(";")[0].strip().lower()
    return Formats(media_type if media_type in TABLES else JSON, choose_answer(accept.decode("latin-1")))


def choose_answer(accept: str) -> str:
    """The format that an Accept header likes best; among equals one that it names, then the first of `ANSWERS`."""
    ranges = [_read_range(text) for text in accept.lower().split(",")]
    best, best_rank = JSON, (0.0, 0)
    for known in ANSWERS:
        fits = [(_closeness(pattern, known), quality) for pattern, quality in ranges]
        # The closest of the ranges that a type is in says how much it is liked.
        closeness, quality = max(fits, default=(0, 0.0))
        if closeness and (quality, closeness) > best_rank and quality > 0:
            best, best_rank = known, (quality, closeness)
    return best


def _read_range(text: str) -> tuple[str, float]:
    pattern, *parameters = (part.strip() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = min(max(float(value), 0.0), 1.0)
            except ValueError:
                quality = 0.0
    return pattern, quality


def _closeness(pattern: str, known: str) -> int:
    """3 for the type itself, 2 for its family, 1 for anything, 0 where it does not fit."""
    if pattern == known:
        return 3
    if pattern == known.partition("/")[0] + "/*":
        return 2
    return int(pattern == "*/*")
