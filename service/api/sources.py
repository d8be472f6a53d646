"""Where a request's series are: in its body, or in an upload."""

from collections.abc import Set

from service.errors import InvalidRequest


def check_source(given: Set[str]) -> None:
    """Refuses a body that does not name exactly one of `series` and `dataset`.

    Args:
        given: the fields of the body.

    Raises:
        InvalidRequest: it has none of them, or both.
    """
    named = given & {"series", "dataset"}
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
