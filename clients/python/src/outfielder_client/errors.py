"""What can go wrong with a call, as one tree of errors."""

from dataclasses import dataclass
from typing import Any

import httpx

SHOWN_TEXT = 200


class OutfielderError(Exception):
    """Base of all errors of the client. `message` says what was wrong and how to mend it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UnusableInput(OutfielderError, ValueError):
    """Series, a frame or a combination of arguments that can't be sent; nothing was sent."""


class FrequencyUnknown(OutfielderError):
    """The times of a frame follow no one frequency, so that the times of its forecast can't be told."""


class ConnectionFailed(OutfielderError):
    """No answer came: nobody listens, the connection broke, or the answer was cut, at every attempt."""


class TimedOut(ConnectionFailed):
    """No answer came in time, at every attempt."""


class JobFailed(OutfielderError):
    """A job ended without a result. `job` is its record, `code` the stable word for the reason."""

    def __init__(self, job: dict[str, Any]) -> None:
        error = job["error"] or {"code": job["status"], "message": f"It was {job['status']}."}
        super().__init__(f"Job {job['id']}: {error['message']}")
        self.job = job
        self.code: str = error["code"]


class SeriesLeftOut(UserWarning):
    """Some series of a frame could not be forecast, and have no rows in the answer. The message says which and why."""


class DataFinding(UserWarning):
    """What the service found in a frame that a person should know: gaps, outliers, how it read the times."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with a request; `pointer` is a JSON pointer into it."""

    pointer: str
    code: str
    message: str


class RequestRefused(OutfielderError):
    """The server answered with an error.

    Attributes:
        status: the HTTP status.
        code: the stable word for the first thing that is wrong, None if the answer has none.
        pointer: where in the request that is, a JSON pointer; empty for the request as a whole.
        flaws: all that is wrong, at most 100 entries.
        request_id: under which the server's log has the request.
        retry_after_seconds: when the server asks to be called again, None if it does not say.
        problem: the whole problem document (RFC 9457), None if the answer is none.
        may_have_been_done: an earlier attempt of the call was lost on its way, so that this error may be its effect.
    """

    def __init__(self, message: str, response: httpx.Response, problem: dict[str, Any] | None) -> None:
        super().__init__(message)
        entries = [] if problem is None else problem["errors"]
        self.status = response.status_code
        self.flaws = tuple(Flaw(entry["pointer"], entry["code"], entry["message"]) for entry in entries)
        self.code = self.flaws[0].code if self.flaws else None
        self.pointer = self.flaws[0].pointer if self.flaws else ""
        self.request_id: str | None = response.headers.get("X-Request-ID")
        self.retry_after_seconds: float | None = None
        self.problem = problem
        self.may_have_been_done = False


class InvalidRequest(RequestRefused):
    """The request is wrong: 400, 413, 415, 422 and the like."""


class AccessDenied(RequestRefused):
    """The API key is missing or unknown, or the server refuses this origin: 401, 403."""


class NotFound(RequestRefused):
    """There is no such model, version, job or data set: 404."""


class Conflict(RequestRefused):
    """The request contradicts the present state: 409. `job` names the job that is training the model, if one is."""

    @property
    def job(self) -> dict[str, Any] | None:
        return None if self.problem is None else self.problem.get("job")


class Overloaded(RequestRefused):
    """The server has too much to do, and had at every attempt: 429."""


class Unavailable(RequestRefused):
    """The server can't serve now: 5xx."""


def read_refusal(response: httpx.Response) -> RequestRefused:
    """The error that an answer of status 400 or above is."""
    kinds: dict[int, type[RequestRefused]] = {
        401: AccessDenied, 403: AccessDenied, 404: NotFound, 409: Conflict, 429: Overloaded,
    }  # fmt: skip
    kind = kinds.get(response.status_code, Unavailable if response.status_code >= 500 else InvalidRequest)
    try:
        problem = response.json()
        lines = [f"{entry['pointer'] or 'request'}: {entry['message']}" for entry in problem["errors"]]
        message = "\n".join([f"{problem['title']} ({problem['status']})", *lines])
        return kind(message, response, problem)
    except (ValueError, KeyError, TypeError):
        text = response.text[:SHOWN_TEXT]
        return kind(f"The server answered {response.status_code}: {text}", response, None)
