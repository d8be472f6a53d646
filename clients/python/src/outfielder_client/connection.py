"""What every call is made of: where the server is, how it is asked, and how an answer is read."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from outfielder_client.effects import Emit, Items, Program, Request
from outfielder_client.errors import RequestRefused, UnusableInput
from outfielder_client.parts import Partition
from outfielder_client.retries import Retry, send
from outfielder_client.series import encode

DEFAULT_URL = "http://127.0.0.1:8000"
JSON = "application/json"
TEXT = "text/plain"


def locate(*names: str | int) -> str:
    """A path whose parts may hold any character."""
    return "".join(f"/{quote(str(name), safe='')}" for name in names)


def leave_out_none(**fields: Any) -> dict[str, Any]:
    """The fields that are given."""
    return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class Connection:
    """A server and how to call it. It holds no socket, and can be sent to another process."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 60.0
    retry: Retry = field(default_factory=Retry)
    partition: Partition = field(default_factory=Partition)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def all_headers(self) -> dict[str, str]:
        key = {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}
        return {**self.headers, **key}

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Program[Any]:
        """Sends JSON and gives the JSON of the answer, None for an empty one; a text where one was asked for.

        Raises as `send`.
        """
        content = None if body is None else encode(body)
        response = yield from self.exchange(
            method, path, content, JSON, params=params, headers=headers, timeout=timeout
        )
        return self.read_json(path, response)

    def exchange(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        media_type: str = JSON,
        *,
        params: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Program[httpx.Response]:
        """`call` with a body and an answer of any media type."""
        pairs = params.items() if isinstance(params, Mapping) else params
        kind = {} if content is None else {"Content-Type": media_type}
        request = Request(
            method,
            path,
            content,
            tuple((name, str(value)) for name, value in pairs if value is not None),
            {**(headers or {}), **kind},
            timeout,
        )
        return (yield from send(request, self.retry, self.url))

    def read_json(self, path: str, response: httpx.Response) -> Any:
        """The JSON of an answer, None for an empty one. Raises RequestRefused for anything else."""
        kind_of_answer = response.headers.get("Content-Type", "").partition(";")[0]
        if kind_of_answer == TEXT == response.request.headers.get("Accept"):
            return response.text
        try:
            return json.loads(response.content) if response.content else None
        except ValueError:
            kind = response.headers.get("Content-Type", "no type")
            message = f"Expected JSON from {self.url}{path}, got {kind}. Is this the address of the service?"
            raise RequestRefused(message, response, None) from None

    def download(self, path: str) -> Program[bytes]:
        """The content of an answer, of any media type. Raises RequestRefused, ConnectionFailed."""
        response = yield from self.exchange("GET", path)
        return bytes(response.content)

    def pages(self, path: str, noun: str, params: Mapping[str, Any]) -> Items[dict[str, Any]]:
        """Emits the members of a list, page after page."""
        return Items(self._turn_pages(path, noun, params))

    def _turn_pages(self, path: str, noun: str, params: Mapping[str, Any]) -> Program[None]:
        cursor: str | None = None
        while True:
            answer = yield from self.call("GET", path, params={**params, "cursor": cursor})
            for member in answer[noun]:
                yield Emit(member)
            cursor = answer["next_cursor"]
            if cursor is None:
                return


def make_connection(
    url: str,
    api_key: str | None,
    timeout: float,
    retry: Retry | None,
    partition: Partition | None,
    headers: Mapping[str, str] | None,
) -> Connection:
    """The connection that the arguments of a client describe; an API key may stand in OUTFIELDER_API_KEY.

    Raises:
        UnusableInput: the address is none.
    """
    if not url.startswith(("http://", "https://")):
        raise UnusableInput(f"Expected an address such as {DEFAULT_URL}, got {url!r}.")
    key = api_key if api_key is not None else os.environ.get("OUTFIELDER_API_KEY") or None
    return Connection(url.rstrip("/"), key, timeout, retry or Retry(), partition or Partition(), dict(headers or {}))
