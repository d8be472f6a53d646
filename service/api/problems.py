"""Turns errors into RFC 9457 problem documents: the only place that maps errors to HTTP statuses."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.responses import Response

from service import errors
from service.errors import MOST_FLAWS, Flaw, ServiceError

MEDIA_TYPE = "application/problem+json"

# Searched along an error's base classes, so a new error has the status of its kind.
STATUS: Mapping[type[ServiceError], int] = {
    errors.MalformedJson: 400,
    errors.MalformedBody: 400,
    errors.UpgradeRefused: 400,
    errors.BadHeader: 400,
    errors.Unauthorized: 401,
    errors.HostRefused: 403,
    errors.OriginRefused: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.BodyTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.InvalidRequest: 422,
    errors.QueueFull: 429,
    errors.NotReady: 503,
    errors.DeadlineExceeded: 504,
    errors.UploadsFull: 507,
}
# These end a job or a process; no route raises them.
NEVER_SHOWN: tuple[type[ServiceError], ...] = (
    errors.TrainingFailed,
    errors.BacktestFailed,
    errors.ForecastFailed,
    errors.SlotTaken,
    errors.InsecureServer,
)


def find_status(kind: type[ServiceError]) -> int | None:
    """The HTTP status of an error, by its class or the nearest of its bases; None where there is none."""
    return next((STATUS[base] for base in kind.__mro__ if base in STATUS), None)


def make_problem(
    status: int,
    code: str,
    detail: str,
    request_id: str,
    *,
    flaws: Sequence[Flaw] = (),
    members: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document.

    Args:
        code: the stable word for the kind of problem.
        flaws: what is wrong where in the request; without any, one entry says `detail` of the whole request.
        members: extension members beside those that every problem has.
    """
    entries = flaws[:MOST_FLAWS] or [Flaw("", code, detail)]
    document = {
        "type": f"urn:outfielder:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "request_id": request_id,
        "errors": [{"pointer": flaw.pointer, "code": flaw.code, "message": flaw.message} for flaw in entries],
        **(members or {}),
    }
    return Response(orjson.dumps(document), status, headers, MEDIA_TYPE)


def make_error_problem(error: ServiceError, request_id: str) -> Response:
    """The problem document of one of our own errors; 500 without details for one that no client should meet."""
    status = find_status(type(error))
    if status is None:
        return make_internal_problem(request_id)
    headers = {}
    members = {}
    flaws: Sequence[Flaw] = ()
    if isinstance(error, errors.QueueFull | errors.NotReady):
        headers["Retry-After"] = str(error.retry_after_seconds)
    elif isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, errors.InvalidRequest):
        flaws = error.flaws
    elif isinstance(error, errors.StillTraining):
        members["job"] = error.job
    return make_problem(status, error.code, error.message, request_id, flaws=flaws, members=members, headers=headers)


def make_internal_problem(request_id: str) -> Response:
    """A 500 that gives nothing away; the server's log has the rest under the request's id."""
    detail = f"An internal error occurred. The server's log has the details under request id {request_id}."
    return make_problem(500, "internal_error", detail, request_id)
