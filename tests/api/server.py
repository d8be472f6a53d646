"""A real server on a free port, in a thread of the test process."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from service.app import build_app, make_config
from service.settings import Settings


@contextmanager
def running(root: Path, state_dir: Path, **fields: Any) -> Iterator[str]:
    """Serves a store; gives the server's URL. Ends the server afterwards."""
    settings = Settings(models_store=root, state_dir=state_dir, **fields)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        server = uvicorn.Server(make_config(build_app(settings), settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            assert thread.is_alive(), "the server ended while it started"
            yield url
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


@contextmanager
def client(root: Path, state_dir: Path, **fields: Any) -> Iterator[httpx.Client]:
    """A client of a server that serves a store."""
    # By plain HTTP: to read the machine's certificates takes longer than most tests.
    with running(root, state_dir, **fields) as url, httpx.Client(base_url=url, timeout=60, verify=False) as http:
        yield http


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits for a condition to hold. The deadline is there to end a test that hangs, whatever else the machine does."""
    deadline = time.monotonic() + seconds
    pause = 0.005
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(pause)
        # Who asks all the time takes from what it waits for.
        pause = min(1.2 * pause, 0.1)


def assert_problem(response: httpx.Response, status: int, code: str, pointer: str | None = None) -> dict[str, Any]:
    """Checks that an answer is a whole problem document that says this; gives the document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "request_id", "errors"} <= document.keys()
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    assert 1 <= len(document["errors"]) <= 100
    for entry in document["errors"]:
        assert entry.keys() == {"pointer", "code", "message"}
    found = [(entry["code"], entry["pointer"]) for entry in document["errors"]]
    assert any(code == c and pointer in (None, p) for c, p in found), found
    for secret in ("Traceback", "site-packages", "orjson", "pydantic", "tensorflow", "/service/", "/tmp/"):
        assert secret not in response.text
    return document
