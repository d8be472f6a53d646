"""Several API processes on one port: real processes, real kills."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.engines.versions import add_fast_version
from tests.test_app import free_port


@contextmanager
def serving(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Two processes over the store in a folder."""
    port = free_port()
    settings = {"MODELS_STORE": str(tmp_path / "store"), "STATE_DIR": str(tmp_path / "state"), "PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", "--workers", "2"],
        cwd=Path(__file__).parents[1],
        env=os.environ | {f"OUTFIELDER_{key}": value for key, value in settings.items()},
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until_ready(url)
        yield process, url
    finally:
        process.terminate()
        assert process.wait(60) == 0


def until_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    with httpx.Client(base_url=url) as http:
        while True:
            try:
                http.get("/readyz").raise_for_status()
                return
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def children_of(process: subprocess.Popen[bytes]) -> list[int]:
    found = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(number) for file in found for number in file.read_text().split()]


def ask(url: str) -> int:
    """One forecast over a connection of its own; the version that answered."""
    # Without the machine's certificates, which take longer to read than a forecast.
    answer = httpx.post(f"{url}/forecast", json={"model": "m", "series": [0, 0, 0]}, timeout=60, verify=False)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    # Only the first goes on as it was.
    assert (body["forecasts"][0]["values"][0] == 0) == (body["version"] == 1)
    return int(body["version"])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_alias_reaches_all_processes_metrics_are_of_all_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    root = tmp_path / "store"
    add_fast_version(root, "m", "naive")
    add_fast_version(root, "m", "gru")
    with serving(tmp_path) as (process, url):
        assert {ask(url) for _ in range(40)} == {2}
        assert httpx.put(f"{url}/models/m/aliases/champion", json={"version": 1}, timeout=60).status_code == 200
        n_asked = 40
        n_in_a_row = 0
        deadline = time.monotonic() + 60
        while n_in_a_row < 40:
            assert time.monotonic() < deadline
            n_in_a_row, n_asked = (n_in_a_row + 1 if ask(url) == 1 else 0), n_asked + 1
        count = re.search(r'requests_total\{.*route="/forecast".*\} (\d+)', httpx.get(f"{url}/metrics").text)
        assert count is not None
        assert int(count[1]) == n_asked
        before = children_of(process)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        deadline = time.monotonic() + 60
        while len(set(children_of(process)) - {before[0]}) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert {ask(url) for _ in range(40)} == {1}
