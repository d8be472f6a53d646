"""An S3-compatible server for tests, in a process of its own, that fails when it is told to.

    python -m tests.s3_server

It prints its URL and serves until its standard input ends. `PUT /-/faults` with the body `500` (or `hang`, or `404`, or
nothing) makes it answer every other request so from then on; `flaky` fails every third one. `GET` there says how many
requests came.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from moto.backends import get_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

FAULTS_PATH = "/-/faults"
HANG_SECONDS = 30.0

Start = Callable[[str, list[tuple[str, str]]], Any]


class FaultyApplication:
    """The server, and in front of it what fails; one request that writes at a time, as S3's own are atomic."""

    def __init__(self) -> None:
        get_backend("s3")
        self._inner = DomainDispatcherApplication(create_backend_app)
        self._writing = threading.Lock()
        self._fault = ""
        self._n_requests = 0

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == FAULTS_PATH and environ["REQUEST_METHOD"] == "GET":
            start("200 OK", [("Content-Type", "text/plain")])
            return [str(self._n_requests).encode()]
        if environ["PATH_INFO"] == FAULTS_PATH:
            self._fault = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
            start("204 No Content", [])
            return []
        self._n_requests += 1
        fault = self._fault
        if fault == "flaky":
            fault = "500" if self._n_requests % 3 == 0 else ""
        if fault == "hang":
            time.sleep(HANG_SECONDS)
            fault = "500"
        if fault:
            start(f"{fault} Fault", [("Content-Type", "application/xml")])
            return [b"<Error><Code>InternalError</Code><Message>We were told to fail.</Message></Error>"]
        if environ["REQUEST_METHOD"] in ("PUT", "DELETE", "POST"):
            with self._writing:
                return list(self._inner(environ, start))
        return list(self._inner(environ, start))


class QuietHandler(WSGIRequestHandler):  # type: ignore[misc]
    def log(self, type: str, message: str, *args: Any) -> None:
        """Says nothing."""


def main() -> None:
    server = make_server("127.0.0.1", 0, FaultyApplication(), threaded=True, request_handler=QuietHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
