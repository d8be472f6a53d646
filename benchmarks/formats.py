"""Compares the formats of POST /forecast: `python -m benchmarks.formats [--series N] [--rounds N] [--models A,B]`.

The same series are sent as JSON and as Arrow streams of both layouts, in turn, A B C A B C, each to a server of its
own, so that a server's memory is that of one format. Bodies are written before, and answers are read afterwards, so
neither is counted. Times are medians over the rounds; `memory` is what the server took at most beyond what it took
when it was ready.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import orjson
import pyarrow as pa

from benchmarks.machine import describe_machine

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
N_POINTS = 50
HORIZON = 10
MB = 10**6
READY_SECONDS = 120.0
SENT_BYTES = 2**18
MAKE_MODELS = """
import sys
from pathlib import Path
from benchmarks.serving.models import make_model
for name in sys.argv[2].split(","):
    make_model(Path(sys.argv[1]), name, {"architecture": name})
"""


@dataclass
class Contender:
    """A body in a format, the server that gets it, and what was measured."""

    media_type: str
    body: bytes
    url: str = ""
    pid: int = 0
    ready_bytes: int = 0
    answer: bytes = b""
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    """Prints a table for each model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.formats", description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default="naive,lstm", help="architectures, separated by commas")
    arguments = parser.parse_args()
    print(f"{describe_machine()}; {arguments.series} series of {N_POINTS} points, {HORIZON} steps ahead", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-formats-") as scratch:
        store = Path(scratch, "store")
        store.mkdir()
        subprocess.run([sys.executable, "-c", MAKE_MODELS, str(store), arguments.models], check=True)
        for model in arguments.models.split(","):
            with ExitStack() as stack:
                contenders = make_contenders(arguments.series)
                for i, contender in enumerate(contenders.values()):
                    stack.enter_context(serving(contender, store, Path(scratch, f"{model}-{i}")))
                for _ in range(arguments.rounds):
                    for contender in contenders.values():
                        ask(contender, model)
                check(contenders)
                print_table(model, contenders, arguments.series)


def make_contenders(n_series: int) -> dict[str, Contender]:
    """The same series in each format: noise around a level, as 64-bit floats of four decimals, days from 2024 on."""
    rng = np.random.default_rng(42)
    values = np.round(rng.normal(100, 10, (n_series, N_POINTS)), 4)
    ids = [str(i) for i in range(n_series)]
    days = np.datetime64("2024-01-01", "us") + np.arange(N_POINTS) * np.timedelta64(1, "D")
    rows = pa.table({"unique_id": np.repeat(ids, N_POINTS), "ds": np.tile(days, n_series), "y": values.ravel()})
    lists = pa.table({"unique_id": ids, "y": pa.FixedSizeListArray.from_arrays(values.ravel(), N_POINTS)})
    return {
        "JSON": Contender(JSON, orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)),
        "Arrow, a row a point": Contender(ARROW, write_stream(rows)),
        "Arrow, a row a series": Contender(ARROW, write_stream(lists)),
    }


def write_stream(table: pa.Table) -> bytes:
    """An Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2**16)
    return bytes(sink.getvalue())


@contextmanager
def serving(contender: Contender, store: Path, state: Path) -> Iterator[None]:
    """A server for one format."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {
        **os.environ,
        "OUTFIELDER_MODELS_STORE": str(store), "OUTFIELDER_STATE_DIR": str(state), "OUTFIELDER_PORT": str(port),
        "OUTFIELDER_PRETRAINED": "false", "OUTFIELDER_MAX_BODY_BYTES": str(2**28),
    }  # fmt: skip
    log = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "-m", "service.cli", "serve"], env=environment, stdout=log, stderr=log)
    try:
        contender.url, contender.pid = f"http://127.0.0.1:{port}", process.pid
        ends = time.monotonic() + READY_SECONDS
        while not is_ready(contender.url):
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError("the server did not start")
            time.sleep(0.1)
        contender.ready_bytes = read_status(contender.pid, "VmRSS:")
        yield
    finally:
        process.terminate()
        process.wait()


def is_ready(url: str) -> bool:
    """Whether a server answers."""
    try:
        return httpx.get(f"{url}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def read_status(pid: int, name: str) -> int:
    """A figure of a process's memory, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def ask(contender: Contender, model: str) -> None:
    """One request, measured from its first byte to the answer's last."""
    body, path = contender.body, f"/forecast?model={model}&horizon={HORIZON}"
    if contender.media_type == JSON:
        body = b'{"model":"%s","horizon":%d,"series":%s}' % (model.encode(), HORIZON, body)
    headers = {"Content-Type": contender.media_type, "Accept": contender.media_type, "Content-Length": str(len(body))}
    # Of a whole body the client copies the rest after each piece that it sends.
    pieces = (body[first : first + SENT_BYTES] for first in range(0, len(body), SENT_BYTES))
    started = time.perf_counter()
    response = httpx.post(contender.url + path, content=pieces, headers=headers, timeout=600)
    contender.seconds.append(time.perf_counter() - started)
    if response.status_code != httpx.codes.OK:
        raise RuntimeError(response.text)
    contender.answer = response.content


def check(contenders: dict[str, Contender]) -> None:
    """Raises RuntimeError where two formats have other numbers."""
    found = []
    for contender in contenders.values():
        if contender.media_type == JSON:
            found.append(np.array([one["values"] for one in orjson.loads(contender.answer)["forecasts"]]).ravel())
        else:
            found.append(pa.ipc.open_stream(contender.answer).read_all()["forecast"].to_numpy())
    if any(not np.allclose(found[0], values, rtol=1e-6, atol=1e-6) for values in found[1:]):
        raise RuntimeError("the formats have different forecasts")


def print_table(model: str, contenders: dict[str, Contender], n_series: int) -> None:
    """Prints what was measured."""
    print(f"\n| {model} | series/s | times JSON's | body, MB | answer, MB | memory, MB |\n|---|---|---|---|---|---|")
    first = statistics.median(next(iter(contenders.values())).seconds)
    for name, contender in contenders.items():
        seconds = statistics.median(contender.seconds)
        memory = read_status(contender.pid, "VmHWM:") - contender.ready_bytes
        sizes = f"{len(contender.body) / MB:.0f} | {len(contender.answer) / MB:.0f} | {memory / MB:.0f}"
        print(f"| {name} | {n_series / seconds:.0f} | {first / seconds:.2f} | {sizes} |", flush=True)


if __name__ == "__main__":
    main()
