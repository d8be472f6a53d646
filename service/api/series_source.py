"""Finds a request's series: in its body, or in an upload."""

from collections.abc import Mapping
from typing import Any

from service.errors import InvalidRequest


def check_source(given: Mapping[str, Any]) -> None:
    """Refuses a body that does not have exactly one of `series` and `dataset`; beside one of them null is none.

    Args:
        given: the fields of the body.

    Raises:
        InvalidRequest: it has none of them, or both.
    """
    named = [name for name in ("series", "dataset") if name in given]
    if len(named) == 2:
        named = [name for name in named if given[name] is not None]
    if not named:
        raise InvalidRequest.at(
            "/series", "missing_field", "The field 'series' is missing: add it, or `dataset`, the id of an upload."
        )
    if len(named) == 2:
        raise InvalidRequest.at(
            "/dataset",
            "conflicting_fields",
            "Expected either `series` or `dataset`, got both: leave one of them out.",
        )
