"""A small client of the API, for the command line and the first run."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from service.errors import ServiceError

TIMEOUT_SECONDS = 60.0


class RequestRefused(ServiceError):
    """The server answered with an error, or not at all. `problem` is its problem document, or None."""

    code = "request_refused"

    def __init__(self, message: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class Client:
    """Calls a server; close it when done."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self.url = url
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        """Whether the server answers and can serve."""
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def forecast(self, **request: Any) -> dict[str, Any]:
        """POST /forecast. Raises RequestRefused."""
        return self._call("POST", "/forecast", json=request)

    def backtest(self, **request: Any) -> dict[str, Any]:
        """POST /backtest: the scores or, of many points, the job that will have them. Raises RequestRefused."""
        return self._call("POST", "/backtest", json=request)

    def train(self, **request: Any) -> list[dict[str, Any]]:
        """POST /train: the jobs that were submitted. Raises RequestRefused."""
        answer = self._call("POST", "/train", json=request)
        jobs: list[dict[str, Any]] = answer.get("jobs", [answer])
        return jobs

    def upload(self, content: bytes, media_type: str, **options: str) -> dict[str, Any]:
        """POST /datasets, with what is said of the file. Raises RequestRefused."""
        headers = {"Content-Type": media_type}
        return self._call("POST", "/datasets", content=content, headers=headers, params=options)

    def models(self) -> list[dict[str, Any]]:
        """GET /models. Raises RequestRefused."""
        models: list[dict[str, Any]] = self._call("GET", "/models")["models"]
        return models

    def leaderboard(self, **parameters: str) -> list[dict[str, Any]]:
        """GET /leaderboard. Raises RequestRefused."""
        groups: list[dict[str, Any]] = self._call("GET", "/leaderboard", params=parameters)["leaderboard"]
        return groups

    def job(self, job_id: str) -> dict[str, Any]:
        """GET /jobs/{id}. Raises RequestRefused."""
        return self._call("GET", f"/jobs/{job_id}")

    def jobs(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """GET /jobs, page after page. Raises RequestRefused."""
        cursor: str | None = None
        while True:
            answer = self._call("GET", "/jobs", params={**filters, **({"cursor": cursor} if cursor else {})})
            yield from answer["jobs"]
            cursor = answer["next_cursor"]
            if cursor is None:
                return

    def cancel(self, job_id: str) -> dict[str, Any]:
        """POST /jobs/{id}/cancel. Raises RequestRefused."""
        return self._call("POST", f"/jobs/{job_id}/cancel")

    def events(self, job_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The job's events as they come: `progress`, at last `done`. Resumes where a connection broke off.

        Raises:
            RequestRefused: there is no such job, or the server stays away.
        """
        last_id, failures = None, 0
        while True:
            headers: dict[str, str] = {} if last_id is None else {"Last-Event-ID": last_id}
            try:
                timeout = httpx.Timeout(TIMEOUT_SECONDS)
                with self._http.stream("GET", f"/jobs/{job_id}/events", headers=headers, timeout=timeout) as response:
                    if response.is_error:
                        response.read()
                        raise _refusal(response)
                    for event_id, kind, event in _parse_events(response.iter_lines()):
                        last_id, failures = event_id, 0
                        yield kind, event
                        if kind == "done":
                            return
            except httpx.TransportError as error:
                failures += 1
                if failures > 5:
                    raise RequestRefused(f"The connection to {self.url} was lost: {error}") from error

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise RequestRefused(
                f"No server answers at {self.url} ({error}). Start one with 'outfielder up', or name one with --url."
            ) from error
        if response.is_error:
            raise _refusal(response)
        answer: dict[str, Any] = response.json() if response.content else {}
        return answer


def _refusal(response: httpx.Response) -> RequestRefused:
    try:
        problem = response.json()
        entries = [f"{entry['pointer'] or 'request'}: {entry['message']}" for entry in problem["errors"]]
    except (ValueError, KeyError, TypeError):
        return RequestRefused(f"The server answered {response.status_code}: {response.text[:200]}")
    return RequestRefused("\n".join([f"{problem['title']} ({problem['status']})", *entries]), problem)


def _parse_events(lines: Iterator[str]) -> Iterator[tuple[str | None, str, dict[str, Any]]]:
    """Server-Sent Events as id, kind and data; each of ours has one line of data."""
    event_id, kind = None, ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            event_id = value
        elif name == "event":
            kind = value
        elif name == "data":
            yield event_id, kind, json.loads(value)
