"""The API as a process: refusing to start, listening, draining."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.errors import InsecureServer
from service.listener import check_exposure
from service.settings import Settings
from tests.engines.versions import add_fast_version

SERVE = "import sys; from service.app import serve; from service.settings import Settings; sys.exit(serve(Settings()))"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def start(tmp_path: Path, **settings: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OUTFIELDER_")}
    environment |= {"OUTFIELDER_MODELS_STORE": str(tmp_path / "store"), "OUTFIELDER_STATE_DIR": str(tmp_path / "state")}
    return subprocess.Popen(
        [sys.executable, "-c", SERVE],
        cwd=Path(__file__).parents[1],
        env=environment | {f"OUTFIELDER_{key}": value for key, value in settings.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(tmp_path: Path, *, path: str = "/readyz", **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    port = free_port()
    process = start(tmp_path, PORT=str(port), **settings)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        # A client of its own for each question would read all of the machine's certificates each time.
        with httpx.Client(base_url=url) as http:
            while True:
                try:
                    http.get(path).raise_for_status()
                    break
                except httpx.HTTPError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
        yield process, url
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1"])
def test_the_network_is_not_served_without_a_key(host: str) -> None:
    with pytest.raises(InsecureServer, match="API key"):
        check_exposure(Settings(host=host), insecure=False)
    check_exposure(Settings(host=host), insecure=True)
    check_exposure(Settings(host=host, api_keys="secret"), insecure=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_this_machine_is_served_without_a_key(host: str) -> None:
    check_exposure(Settings(host=host), insecure=False)


def test_a_server_that_may_not_start_says_why_and_ends(tmp_path: Path) -> None:
    process = start(tmp_path, HOST="0.0.0.0", PORT=str(free_port()))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "OUTFIELDER_API_KEYS" in errors
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(tmp_path, PORT=str(port))
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"127.0.0.1:{port}" in errors
    assert "in use" in errors
    assert "Traceback" not in errors


def test_an_interrupt_ends_an_idle_server_whose_log_is_json_where_the_setting_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, LOG_FORMAT="json") as (process, url):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
    events = [json.loads(line) for line in errors.splitlines()]
    assert {"time", "level", "logger", "message"} <= events[0].keys()
    assert f"listening on {url}" in [event["message"] for event in events]


def test_a_log_format_that_there_is_not_is_refused(tmp_path: Path) -> None:
    process = start(tmp_path, LOG_FORMAT="yaml")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Input should be 'text' or 'json'" in errors


def test_a_job_database_that_can_not_be_opened_is_said_and_keeps_no_forecast_waiting(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    add_fast_version(tmp_path / "store", "lstm", "lstm")
    with serving(tmp_path, path="/healthz") as (process, url), httpx.Client(base_url=url) as http:
        for response in (http.get("/readyz"), http.post("/train", json={"architecture": "lstm"})):
            assert (response.status_code, response.json()["errors"][0]["code"]) == (503, "database_unavailable")
        assert http.post("/forecast", json={"series": [1, 2, 3, 4, 5, 6, 7, 8]}).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_server_that_is_to_end_says_so_serves_on_and_then_ends_by_itself(tmp_path: Path) -> None:
    with serving(tmp_path, DRAIN_SECONDS="4") as (process, url), httpx.Client(base_url=url) as http:
        job = http.post("/train", json={"architecture": "lstm"}).json()
        with http.stream("GET", f"/jobs/{job['id']}/events") as stream:
            asked = time.monotonic()
            process.send_signal(signal.SIGTERM)
            # The job is queued and nobody runs it: only the server's end can end its events.
            assert [line for line in stream.iter_lines() if line.startswith("event")] == []
        response = http.get("/readyz")
        assert (response.status_code, response.json()["errors"][0]["code"]) == (503, "not_ready")
        assert http.get(f"/jobs/{job['id']}").status_code == 200
        assert process.wait(60) == 0
        assert time.monotonic() - asked > 3.9


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_versions_with_graphs_are_served_without_tensorflow(tmp_path: Path) -> None:
    add_fast_version(tmp_path / "store", "lstm", "lstm")
    with serving(tmp_path) as (process, url), httpx.Client(base_url=url) as http:
        for request in ({}, {"horizon": 50}, {"mode": "sequence", "all_steps": True}):
            http.post("/forecast", json={"series": [[0.1, 0.2, 0.3]], **request}).raise_for_status()
        assert http.get("/models/lstm").json()["engine"] == "onnx"
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "tensorflow" not in Path(f"/proc/{process.pid}/maps").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(resident.split()[1]) < 200 * 1024


def modes(folder: Path) -> dict[str, int]:
    paths = (folder, *folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in paths}


def test_state_is_for_the_services_user_alone_also_what_was_there_before(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "datasets" / "old").mkdir(parents=True)
    (state / "programs").mkdir()
    for file in (state / "datasets" / "old" / "values.npz", state / "programs" / "one", state / "worker-0.lock"):
        file.write_text("x")
    for path in (state, *state.rglob("*")):
        path.chmod(0o777)
    with serving(tmp_path) as (_, url), httpx.Client(base_url=url) as http:
        http.post("/datasets", content="y\n1\n2\n", headers={"Content-Type": "text/csv"}).raise_for_status()
        http.post("/train", json={"architecture": "lstm"}).raise_for_status()
        found = modes(state)
    assert {"datasets/old/values.npz", "jobs.sqlite", "programs/one", "worker-0.lock"} <= found.keys()
    assert [path for path, mode in found.items() if mode & 0o077] == []


def test_a_state_folder_that_others_use_too_is_left_to_them_and_told_of(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "letters").mkdir()
    (state / "datasets").mkdir()
    for path in (state, *state.rglob("*")):
        path.chmod(0o755)
    process = start(tmp_path, PORT=str(free_port()))
    try:
        deadline = time.monotonic() + 60
        while not (state / "jobs.sqlite").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
    found = modes(state)
    assert (found["."], found["letters"]) == (0o755, 0o755)
    assert (found["datasets"], found["jobs.sqlite"]) == (0o700, 0o600)
    assert "left open to others" in errors
