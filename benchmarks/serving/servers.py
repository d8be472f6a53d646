"""The servers that are compared: how to start each, its requests, and where its answers have the forecast."""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
START_SECONDS = 120.0

Rows = list[list[float]]


@dataclass(frozen=True)
class Kind:
    """One of the servers. `command` gets the Python to run it with.

    A body is JSON, or bytes, whose answer is bytes as well; `headers` are sent with it. `path` may have the `{model}`.
    """

    name: str
    command: Callable[[str], list[str]]
    path: str
    body: Callable[[str, Rows], Any]
    answer: Callable[[Any], Rows]
    suits_wrk: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        """Ours runs in this environment, each peer in its own."""
        return Path(sys.executable) if self.name in OWN else ROOT / f".venv-serving-{self.name}" / "bin" / "python"


# Ours by another server's protocol, in JSON and in bytes.
PROTOCOLS = ("outfielder-v2", "outfielder-v2-binary")
OWN = ("outfielder", *PROTOCOLS, "bare")
# JSON may end with spaces: so its length, which a header names, is the same for all bodies.
HEADER_BYTES = 256


def _tensor(rows: Rows) -> dict[str, Any]:
    """The open inference protocol, which MLServer and Triton share."""
    flat = [value for row in rows for value in row]
    shape = [len(rows), len(rows[0])]
    return {"inputs": [{"name": "series", "shape": shape, "datatype": "FP32", "data": flat}]}


def _read_tensor(answer: Any) -> Rows:
    output = answer["outputs"][0]
    width = output["shape"][1]
    return [output["data"][i : i + width] for i in range(0, len(output["data"]), width)]


def _binary_tensor(rows: Rows) -> bytes:
    """The same with the values as bytes behind the JSON, and asking for as much."""
    values = np.array(rows, np.float32)
    parameters = {"binary_data_size": values.nbytes}
    series = {"name": "series", "shape": values.shape, "datatype": "FP32", "parameters": parameters}
    header = json.dumps({"inputs": [series], "parameters": {"binary_data_output": True}})
    return header.ljust(HEADER_BYTES).encode() + values.tobytes()


def _read_binary_tensor(answer: bytes) -> Rows:
    header, end = json.JSONDecoder().raw_decode(answer.decode("latin-1"))
    output = header["outputs"][0]
    rows: Rows = (
        np.frombuffer(answer[end:], {"FP64": "<f8", "FP32": "<f4"}[output["datatype"]])
        .reshape(output["shape"])
        .tolist()
    )
    return rows


def _serve(python: str) -> list[str]:
    return [python, "-m", "service.cli", "serve"]


def _script(name: str) -> Callable[[str], list[str]]:
    return lambda python: [python, str(PEERS / f"serve_{name}.py")]


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "outfielder",
            _serve,
            "/forecast",
            lambda model, rows: {"model": model, "series": rows[0] if len(rows) == 1 else rows},
            lambda answer: [one["values"] for one in answer["forecasts"]],
        ),
        Kind(
            "outfielder-v2",
            _serve,
            "/v2/models/{model}/infer",
            lambda _, rows: _tensor(rows),
            _read_tensor,
        ),
        Kind(
            "outfielder-v2-binary",
            _serve,
            "/v2/models/{model}/infer",
            lambda _, rows: _binary_tensor(rows),
            _read_binary_tensor,
            headers={"Inference-Header-Content-Length": str(HEADER_BYTES)},
        ),
        Kind(
            "tutorial",
            _script("tutorial"),
            "/predict",
            lambda _, rows: {"series": rows},
            lambda answer: answer["forecast"],
        ),
        Kind(
            "litserve",
            _script("litserve"),
            "/predict",
            lambda _, rows: {"series": rows},
            lambda answer: answer["forecast"],
        ),
        Kind(
            "mlserver",
            lambda python: [str(Path(python).with_name("mlserver")), "start", "."],
            "/v2/models/forecaster/infer",
            lambda _, rows: _tensor(rows),
            _read_tensor,
        ),
        Kind(
            "pytriton",
            _script("pytriton"),
            "/v2/models/forecaster/infer",
            lambda _, rows: _tensor(rows),
            _read_tensor,
            suits_wrk=False,
        ),
        Kind("bare", lambda python: [python, str(PEERS.parent / "bare.py")], "/", lambda _, rows: rows, lambda _: []),
    )
}


class Server:
    """A running server and all its processes."""

    def __init__(self, kind: Kind, model: str, port: int, pid: int, ready_seconds: float) -> None:
        self.kind = kind
        self.path = kind.path.format(model=model)
        self.port = port
        self.ready_seconds = ready_seconds
        self._pid = pid

    def post(self, body: bytes, path: str | None = None, timeout: float = 600) -> bytes:
        """An answer, however large."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path or self.path}",
            body,
            {"Content-Type": "application/json", **self.kind.headers},
        )
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text: bytes = answer.read()
        return text

    def forecast(self, model: str, rows: Rows) -> Rows:
        """Forecasts of rows of one length, to compare."""
        body = self.kind.body(model, rows)
        if isinstance(body, bytes):
            return self.kind.answer(self.post(body))
        return self.kind.answer(json.loads(self.post(json.dumps(body).encode())))

    def cpu_seconds(self) -> float:
        """The processor's time of all its processes so far."""
        ticks = sum(sum(map(int, _stat(pid)[11:13])) for pid in self.processes())
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """Resident memory of all its processes, in MB; what they share counts once, by shares."""
        return sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in self.processes()) / 1000

    def peak(self) -> float:
        """The largest resident memory of its process so far, in MB."""
        return _kilobytes(self._pid, "status", "VmHWM:") / 1000

    def pause(self) -> None:
        """Stops all its processes: some servers poll while nobody asks."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """After `pause`."""
        self._signal(signal.SIGCONT)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Runs in here and is stopped behind."""
        self.resume()
        try:
            yield
        finally:
            self.pause()

    def _signal(self, sign: signal.Signals) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, sign)

    def processes(self) -> list[int]:
        """Its own and those that it started, directly or not."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
                except (FileNotFoundError, ProcessLookupError):
                    continue
        found = [self._pid]
        for pid in found:
            found += children.get(pid, [])
        return found


@contextmanager
def running(
    kind: Kind, store: Path, model: str, folder: Path, processes: int = 1, engine: str = "onnx"
) -> Iterator[Server]:
    """Starts a server for a model of the store, and ends it. `folder` is where it may write.

    Args:
        engine: what a peer runs the model with, as `peers/graph.py` names it.

    Raises:
        RuntimeError: it did not start; what it printed.
    """
    port = _free_port()
    version = store / model / "1"
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "PORT": str(port),
        "PROCESSES": str(processes),
        "MODEL": str(version),
        "ENGINE": engine,
        "KERAS_MODEL": str(version / "assets.extra" / "plain.keras"),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "OUTFIELDER_PORT": str(port),
        "OUTFIELDER_MODELS_STORE": str(store),
        "OUTFIELDER_STATE_DIR": str(folder / "state"),
        "OUTFIELDER_WORKERS": str(processes),
    }
    if kind.name in OWN:
        environment["PYTHONPATH"] = str(ROOT)
    else:
        environment["PYTHONPATH"] = str(PEERS)
        # Its own tools, and not those of this environment.
        environment["PATH"] = f"{kind.python.parent}:{environment['PATH']}"
        # Triton's Python back end loads the first libpython that is found, and another's may not fit.
        environment["LD_LIBRARY_PATH"] = str(sysconfig.get_config_var("LIBDIR"))
        environment.pop("VIRTUAL_ENV", None)
    if kind.name == "mlserver":
        _configure_mlserver(folder, port, processes)
    with (folder / "log.txt").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            kind.command(str(kind.python)), env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        server = Server(kind, model, port, process.pid, 0.0)
        try:
            _wait(server, process, model, folder / "log.txt")
            server.ready_seconds = time.perf_counter() - started
            yield server
        finally:
            _end(process, server)


def _configure_mlserver(folder: Path, port: int, processes: int) -> None:
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": _free_port(),
        "metrics_port": _free_port(),
        # In the server's own process, which is faster than one worker; with several, as many workers.
        "parallel_workers": 0 if processes == 1 else processes,
        "debug": False,
        "environments_dir": str(folder / "environments"),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": "forecaster", "implementation": "mlserver_runtime.Forecaster"}
    (folder / "model-settings.json").write_text(json.dumps(model))


def _wait(server: Server, process: subprocess.Popen[bytes], model: str, log: Path) -> None:
    """Until it gives a forecast."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            server.forecast(model, [[0.0] * 50])
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise RuntimeError(f"{server.kind.name} did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _end(process: subprocess.Popen[bytes], server: Server) -> None:
    """It and all that it started; Triton ends its own server only when it is asked kindly."""
    server.resume()
    everything = server.processes()
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    for pid in everything:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat behind the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _kilobytes(pid: int, file: str, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(name)), 0)
