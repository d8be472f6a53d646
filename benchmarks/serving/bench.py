"""What all tables need: running servers, request bodies, and a load generator."""

import json
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.serving.asking import begin, finish, run_wrk
from benchmarks.serving.load import Load, Result
from benchmarks.serving.servers import KINDS, Rows, Server, running

POINTS = 50
BULK = 1000
# Bodies that are posted in turns, so that nothing gains from seeing the same series again.
BODIES = 16
BULK_BODIES = 3


class Bench:
    """A store, a folder to write into, and how long to ask."""

    def __init__(self, store: Path, folder: Path, *, seconds: float, rounds: int, processes: int) -> None:
        self.store = store
        self.folder = folder
        self.seconds = seconds
        self.rounds = rounds
        self.processes = processes
        self._rng = np.random.default_rng(7)

    def rows(self, n: int, points: int = POINTS) -> Rows:
        """Noise with four decimals, as people send it."""
        rows: Rows = self._rng.normal(size=(n, points)).round(4).tolist()
        return rows

    def bodies(self, server: Server, model: str, n: int, points: int = POINTS, count: int = BODIES) -> str:
        """A file of requests for n series, one in each line; bytes are written in hexadecimal digits."""
        bodies = [server.kind.body(model, self.rows(n, points)) for _ in range(count)]
        is_binary = isinstance(bodies[0], bytes)
        path = self.folder / f"{server.kind.name}-{model}-{n}-{points}.{'hex' if is_binary else 'jsonl'}"
        path.write_text("\n".join(body.hex() if is_binary else json.dumps(body) for body in bodies))
        return str(path)

    def start(
        self, stack: ExitStack, name: str, model: str = "lstm", *, store: Path | None = None, engine: str = "onnx"
    ) -> Server:
        """A server that runs until the stack ends."""
        folder = Path(tempfile.mkdtemp(dir=self.folder, prefix=name))
        return stack.enter_context(running(KINDS[name], store or self.store, model, folder, self.processes, engine))

    def load(self, server: Server, bodies: str, connections: int, seconds: float | None = None) -> Result:
        """Asks a server.

        Raises:
            RuntimeError: it answered otherwise than with 200.
        """
        headers = dict(server.kind.headers)
        load = Load(server.port, server.path, bodies, connections, seconds or self.seconds, headers=headers)
        by_wrk = server.kind.suits_wrk and shutil.which("wrk")
        result = run_wrk(load) if by_wrk else finish(begin(load))
        if result.failures:
            raise RuntimeError(f"{server.kind.name} at {connections} connections: {result.failures}")
        return result
