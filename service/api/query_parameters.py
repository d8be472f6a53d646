"""Parameters in the address: what a route knows of them, and times among them."""

from datetime import UTC, datetime

from starlette.requests import Request

from service.domain.json_flaws import describe, escape, unknown_field
from service.errors import InvalidRequest


def refuse_unknown_parameters(request: Request) -> None:
    """A filter that is ignored gives a list of something else than was asked for.

    Raises:
        InvalidRequest: the address has a parameter that the route has not.
    """
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise InvalidRequest([unknown_field(name, f"/{escape(name)}", known) for name in unknown])


def read_moment(name: str, text: str | None) -> datetime | None:
    """A moment from an ISO 8601 date or date-time, in UTC where it has no offset.

    Raises:
        InvalidRequest.
    """
    if text is None:
        return None
    try:
        # In an address a plus sign is a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest.at(
            f"/{name}",
            "bad_timestamp",
            f"Expected an ISO 8601 date or date-time such as 2026-11-27 or 2026-11-27T20:00:00Z, got {describe(text)}.",
        ) from None
