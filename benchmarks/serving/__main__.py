"""Serving, beside other model servers: `make bench-serving` prints the tables of docs/benchmarks.md.

All servers have the same weights. The peers serve the SavedModel; for the first model they are asked once more with
our fast engine's own ONNX graph in their hands, when only the servers differ; the tutorial calls Keras' `predict`. They
are asked in turns, A B C A B C; figures are medians over the rounds, and while one is asked the others are stopped. The
load comes from `wrk` where it is installed, as it should be, else from `benchmarks.serving.load`, which costs more: at
one connection it adds 50 microseconds to every answer. Triton drops wrk's connections, so it is always asked by the
latter.
"""

import argparse
import json
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.serving.asking import begin, finish, run_wrk
from benchmarks.serving.endurance import soak, swap
from benchmarks.serving.load import Load, Result
from benchmarks.serving.servers import KINDS, OWN, Rows, Server, running

POINTS = 50
CONNECTIONS = (1, 8, 64)
BULK = 1000
# Bodies that are posted in turns, so that nothing gains from seeing the same series again.
BODIES = 16
BULK_BODIES = 3
# Models of one step ahead, which feed every step back.
ONE_STEP = ("deep_rnn", "lstm_one_step", "gru_one_step", "wavenet_one_step")
GROWTH_STEPS = (1, 10, 100, 1000)
GROWTH_POINTS = (50, 500, 5000)
GROWTH_SERIES = (1, 10, 100, 1000, 10_000, 100_000)
GROWTH_MODELS = (1, 100, 300)


class Bench:
    """What all tables are made with: a store, a folder to write into, and how long to ask."""

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
        """A file of requests for n series."""
        path = self.folder / f"{server.kind.name}-{model}-{n}-{points}.jsonl"
        bodies = [json.dumps(server.kind.body(model, self.rows(n, points))) for _ in range(count)]
        path.write_text("\n".join(bodies))
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
        load = Load(server.port, server.kind.path, bodies, connections, seconds or self.seconds)
        by_wrk = server.kind.suits_wrk and shutil.which("wrk")
        result = run_wrk(load) if by_wrk else finish(begin(load))
        if result.failures:
            raise RuntimeError(f"{server.kind.name} at {connections} connections: {result.failures}")
        return result


def compare(bench: Bench, model: str, names: Sequence[str], engine: str) -> None:
    """Requests a second, latencies and bulk, of all servers; the peers run an engine of `peers/graph.py`."""
    single: dict[tuple[str, int], list[Result]] = {}
    bulk: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        servers = {name: bench.start(stack, name, model, engine=engine) for name in names}
        check(servers, bench, model)
        ones = {name: bench.bodies(server, model, 1) for name, server in servers.items()}
        many = {name: bench.bodies(server, model, BULK, count=BULK_BODIES) for name, server in servers.items()}
        for name, server in servers.items():
            bench.load(server, ones[name], 8, 1)
            server.pause()
        for _ in range(bench.rounds):
            for connections in CONNECTIONS:
                for name, server in servers.items():
                    with server.alone():
                        single.setdefault((name, connections), []).append(bench.load(server, ones[name], connections))
            for name, server in servers.items():
                with server.alone():
                    bulk[name].append(bench.load(server, many[name], 1).per_second * BULK)
        memory = {name: server.resident() for name, server in servers.items()}
        ready = {name: server.ready_seconds for name, server in servers.items()}
    what = "our ONNX graph" if engine == "onnx" else "the SavedModel"
    print(f"\n### {model}; the peers run {what}; processes each: {bench.processes}\n")
    heads = [f"{c} conn.: requests/s | p50 ms | p99 ms" for c in CONNECTIONS]
    print(f"| server | {' | '.join(heads)} | bulk of {BULK}: series/s | MB | ready s |")
    print("|---|" + "---|" * (3 * len(CONNECTIONS) + 3))
    for name in names:
        cells = []
        for connections in CONNECTIONS:
            results = single[name, connections]
            cells += [
                f"{statistics.median(r.per_second for r in results):,.0f}",
                f"{statistics.median(r.p50 for r in results):.2f}",
                f"{statistics.median(r.p99 for r in results):.2f}",
            ]
        cells += [f"{statistics.median(bulk[name]):,.0f}", f"{memory[name]:.0f}", f"{ready[name]:.1f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    peers = [name for name in names if name not in OWN]
    if peers and "outfielder" in names:
        ratios = []
        for connections in CONNECTIONS:
            best = max(statistics.median(r.per_second for r in single[name, connections]) for name in peers)
            ours = statistics.median(r.per_second for r in single["outfielder", connections])
            ratios.append(f"{ours / best:.1f} times at {connections}")
        best = max(statistics.median(bulk[name]) for name in peers)
        ratios.append(f"{statistics.median(bulk['outfielder']) / best:.1f} times in bulk")
        print(f"\nOurs against the best peer: {', '.join(ratios)}.", flush=True)


def check(servers: dict[str, Server], bench: Bench, model: str) -> None:
    """All give the same numbers."""
    rows = bench.rows(5)
    answers = {name: np.array(server.forecast(model, rows)) for name, server in servers.items() if name != "bare"}
    first = next(iter(answers.values()))
    for name, answer in answers.items():
        if answer.shape != first.shape or np.abs(answer - first).max() > 1e-5:
            raise RuntimeError(f"{name} forecasts otherwise than the others")


def cost(bench: Bench) -> None:
    """The processor's time of one request, above that of an answer without content."""
    milliseconds: dict[str, list[float]] = {"outfielder": [], "bare": []}
    with ExitStack() as stack:
        servers = {name: bench.start(stack, name) for name in milliseconds}
        bodies = bench.bodies(servers["outfielder"], "lstm", 1)
        for server in servers.values():
            bench.load(server, bodies, 1, 1)
        for _ in range(max(bench.rounds, 3)):
            for name, server in servers.items():
                before = server.cpu_seconds()
                result = bench.load(server, bodies, 1)
                milliseconds[name].append((server.cpu_seconds() - before) / result.requests * 1000)
    ours, bare = (statistics.median(milliseconds[name]) for name in ("outfielder", "bare"))
    print("\n### The processor's time of one request, LSTM, one connection\n")
    print("| | ms |\n|---|---|")
    print(f"| ours | {ours:.3f} |\n| a bare ASGI answer | {bare:.3f} |\n| above it | {ours - bare:.3f} |", flush=True)


def autoregression(bench: Bench) -> None:
    """What 100 steps cost against 10, each step fed back by itself."""
    print(f"\n### Autoregression over HTTP, one series of {POINTS} points, one connection\n")
    print("| one-step model | p50 of 10 steps, ms | of 100 | ratio | compute alone: 10 steps, ms | of 100 | ratio |")
    print("|---|---|---|---|---|---|---|")
    with ExitStack() as stack:
        server = bench.start(stack, "outfielder")
        for model in ONE_STEP:
            times: dict[int, list[float]] = {10: [], 100: []}
            compute: dict[int, list[float]] = {10: [], 100: []}
            for _ in range(bench.rounds):
                for steps, found in times.items():
                    found.append(bench.load(server, _steps(bench, model, steps), 1).p50)
                    body = json.dumps({"model": model, "series": bench.rows(1)[0], "horizon": steps}).encode()
                    timings = [json.loads(server.post(body))["timing_ms"]["compute"] for _ in range(50)]
                    compute[steps].append(statistics.median(timings))
            cells = []
            for of in (times, compute):
                ten, hundred = (statistics.median(found) for found in of.values())
                cells.append(f"{ten:.2f} | {hundred:.2f} | {hundred / ten:.2f}")
            print(f"| {model} | {' | '.join(cells)} |", flush=True)


def _steps(bench: Bench, model: str, steps: int) -> str:
    path = bench.folder / f"steps-{model}-{steps}.jsonl"
    bodies = [{"model": model, "series": bench.rows(1)[0], "horizon": steps} for _ in range(BODIES)]
    path.write_text("\n".join(map(json.dumps, bodies)))
    return str(path)


def isolation(bench: Bench, names: Sequence[str]) -> None:
    """One series' latency while others post bulks back to back."""
    print(f"\n### One series while bulks of {BULK} run back to back on another connection, LSTM\n")
    print("| server | idle: p50 ms | p99 ms | beside bulks: p50 ms | p99 ms | p99 ratio | bulk series/s |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        idle: list[Result] = []
        beside: list[Result] = []
        bulks: list[float] = []
        with ExitStack() as stack:
            server = bench.start(stack, name)
            one = bench.bodies(server, "lstm", 1)
            many = bench.bodies(server, "lstm", BULK, count=BULK_BODIES)
            bench.load(server, one, 1, 1)
            for _ in range(bench.rounds):
                idle.append(bench.load(server, one, 1))
                running_bulk = begin(Load(server.port, server.kind.path, many, 1, bench.seconds + 1.5))
                time.sleep(0.75)
                beside.append(bench.load(server, one, 1))
                bulks.append(finish(running_bulk).per_second * BULK)
        before, after = (statistics.median(r.p99 for r in results) for results in (idle, beside))
        middles = [statistics.median(r.p50 for r in results) for results in (idle, beside)]
        print(
            f"| {name} | {middles[0]:.2f} | {before:.2f} | {middles[1]:.2f} | {after:.2f} | {after / before:.1f} "
            f"| {statistics.median(bulks):,.0f} |",
            flush=True,
        )


def growth(bench: Bench, quick: bool) -> None:
    """How time and memory grow with the horizon, the length, the series and the models."""
    with ExitStack() as stack:
        server = bench.start(stack, "outfielder")

        def measure(body: bytes, times: int) -> float:
            taken = []
            for _ in range(times):
                started = time.perf_counter()
                server.post(body)
                taken.append(time.perf_counter() - started)
            return statistics.median(taken) * 1000

        print("\n### Growth, LSTM, one client: milliseconds of one request, medians\n")
        print("| what | " + " | ".join(f"{n:,}" for n in GROWTH_STEPS) + " |\n|---|" + "---|" * len(GROWTH_STEPS))
        bodies = [
            json.dumps({"model": "lstm", "series": bench.rows(1)[0], "horizon": n}).encode() for n in GROWTH_STEPS
        ]
        print("| steps, after 50 points | " + " | ".join(f"{measure(body, 50):.1f}" for body in bodies) + " |")
        print("\n| what | " + " | ".join(f"{n:,}" for n in GROWTH_POINTS) + " |\n|---|" + "---|" * len(GROWTH_POINTS))
        bodies = [json.dumps({"model": "lstm", "series": bench.rows(1, n)[0]}).encode() for n in GROWTH_POINTS]
        print("| points | " + " | ".join(f"{measure(body, 50):.1f}" for body in bodies) + " |")
        sizes = GROWTH_SERIES[:-1] if quick else GROWTH_SERIES
        print("\n| series of 50 points | ms | series/s | MB after | peak MB |\n|---|---|---|---|---|")
        for n in sizes:
            body = json.dumps({"model": "lstm", "series": bench.rows(n)}).encode()
            took = measure(body, 20 if n <= 1000 else 3)
            print(
                f"| {n:,} | {took:.1f} | {n / took * 1000:,.0f} | {server.resident():.0f} | {server.peak():.0f} |",
                flush=True,
            )
    print("\n| models in the store | ready s | resident MB | p50 of one of them, ms | all asked once: MB |")
    print("|---|---|---|---|---|")
    for n in GROWTH_MODELS[:2] if quick else GROWTH_MODELS:
        store = Path(tempfile.mkdtemp(dir=bench.folder, prefix="many"))
        for i in range(n):
            _copy_model(bench.store / "lstm", store / ("lstm" if i == 0 else f"lstm-{i}"))
        with ExitStack() as stack:
            server = bench.start(stack, "outfielder", store=store)
            before = server.resident()
            p50 = bench.load(server, bench.bodies(server, "lstm", 1), 1).p50
            for i in range(1, n):
                server.forecast(f"lstm-{i}", bench.rows(1))
            print(
                f"| {n} | {server.ready_seconds:.1f} | {before:.0f} | {p50:.2f} | {server.resident():.0f} |", flush=True
            )
        shutil.rmtree(store)


def _copy_model(source: Path, target: Path) -> None:
    """The same model under another name."""
    shutil.copytree(source, target)
    manifest = target / "1" / "manifest.json"
    facts = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**facts, "name": target.name}))


TABLES = ("compare", "cost", "autoregression", "isolation", "growth", "stages", "swap", "soak")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, the LSTM alone, nothing very large")
    parser.add_argument("--processes", type=int, default=1, help="of each server")
    parser.add_argument("--peers", default="tutorial,litserve,mlserver,pytriton", help="names; empty for none")
    parser.add_argument("--tables", default=",".join(TABLES), help="names, separated by commas")
    parser.add_argument("--models", default="", help="names, separated by commas; all where none is given")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--soak-minutes", type=float, default=3.0, help="how long the soak lasts")
    arguments = parser.parse_args()
    from benchmarks.serving.models import ARCHITECTURES, make_models
    from benchmarks.serving.stages import print_stages

    tables = arguments.tables.split(",")
    models = arguments.models.split(",") if arguments.models else ARCHITECTURES
    peers = [name for name in arguments.peers.split(",") if name]
    # So that the servers end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    client = "wrk" if shutil.which("wrk") else "benchmarks.serving.load"
    print(f"{describe_machine()}; asked by {client}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as scratch:
        store = Path(scratch, "store")
        store.mkdir()
        make_models(store)
        seconds, rounds = (2.0, 1) if arguments.quick else (arguments.seconds, 3)
        bench = Bench(store, Path(scratch), seconds=seconds, rounds=rounds, processes=arguments.processes)
        if "compare" in tables:
            for model in ARCHITECTURES[:1] if arguments.quick else models:
                # In the peers' hands our graph is as fast as in ours: what is left is the servers' own, once is enough.
                for engine in ("savedmodel", "onnx") if model == ARCHITECTURES[0] else ("savedmodel",):
                    # Keras' own way is the same in both.
                    rivals = [name for name in peers if engine == "savedmodel" or name != "tutorial"]
                    compare(bench, model, ["outfielder", *rivals], engine)
        if "cost" in tables:
            cost(bench)
        if "autoregression" in tables:
            autoregression(bench)
        if "isolation" in tables:
            isolation(bench, ["outfielder", *peers])
        if "growth" in tables:
            growth(bench, arguments.quick)
        if "stages" in tables:
            print_stages(store, describe_machine())
        if "swap" in tables:
            swap(store, Path(scratch), seconds * rounds)
        if "soak" in tables:
            soak(store, Path(scratch), arguments.soak_minutes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
