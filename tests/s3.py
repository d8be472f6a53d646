"""The S3-compatible server of `tests.s3_server` as fixtures."""

import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_REGION": "us-east-1",
}
# What a machine that runs the tests may have set would lead elsewhere.
FOREIGN = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3")


class S3:
    """A server that runs in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.s3_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        assert self._process.stdout is not None
        self.endpoint = self._process.stdout.readline().strip()

    @property
    def environment(self) -> dict[str, str]:
        """What a client finds it by."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint}

    def make_bucket(self) -> str:
        """A new bucket's name."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        self._put(f"/{name}", b"")
        return name

    def fail(self, fault: str) -> None:
        """Makes every other request fail from now on, as `tests.s3_server` says; with "" none."""
        self._put("/-/faults", fault.encode())

    def count_requests(self) -> int:
        """How many came so far."""
        with urllib.request.urlopen(f"{self.endpoint}/-/faults") as answer:
            return int(answer.read())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _put(self, path: str, body: bytes) -> None:
        with urllib.request.urlopen(urllib.request.Request(self.endpoint + path, body, method="PUT")):
            pass


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    server = S3()
    yield server
    server.close()


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """The server, for which this process has the credentials."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    yield s3_server
    s3_server.fail("")


@pytest.fixture
def s3_url(s3: S3) -> str:
    """The URL of an empty store in a bucket of its own."""
    return f"s3://{s3.make_bucket()}/some/prefix"
