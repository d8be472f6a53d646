"""Compares the servers: throughput, latency, bulk requests, CPU time, and single series during bulk requests."""

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from benchmarks.serving.asking import begin, finish
from benchmarks.serving.bench import BULK, BULK_BODIES, Bench
from benchmarks.serving.load import Load, Result
from benchmarks.serving.servers import OWN, Server

CONNECTIONS = (1, 8, 64)


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
