"""Compares the servers: throughput, latency, bulk requests, CPU time, and single series during bulk requests."""

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from benchmarks.serving.asking import begin, finish
from benchmarks.serving.bench import BODIES, BULK, BULK_BODIES, Bench
from benchmarks.serving.load import Load, Result
from benchmarks.serving.servers import OWN, PROTOCOLS, Server

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
    speeds = {
        name: [
            *(statistics.median(r.per_second for r in single[name, connections]) for connections in CONNECTIONS),
            statistics.median(bulk[name]),
        ]
        for name in names
    }
    peers = [name for name in names if name not in OWN]
    if peers and "outfielder" in names:
        best = [max(speeds[name][i] for name in peers) for i in range(len(CONNECTIONS) + 1)]
        print(f"\nOurs against the best peer: {_tell(speeds['outfielder'], best, 1)}.", flush=True)
    for name in names:
        if name in PROTOCOLS:
            print(f"\n{name} against outfielder: {_tell(speeds[name], speeds['outfielder'], 2)}.", flush=True)


def _tell(ours: Sequence[float], theirs: Sequence[float], digits: int) -> str:
    """How many times as fast, at each number of connections and in bulk."""
    names = [*(f"at {connections}" for connections in CONNECTIONS), "in bulk"]
    return ", ".join(
        f"{one / other:.{digits}f} times {name}" for one, other, name in zip(ours, theirs, names, strict=True)
    )


def check(servers: dict[str, Server], bench: Bench, model: str) -> None:
    """All give the same numbers."""
    rows = bench.rows(5)
    answers = {name: np.array(server.forecast(model, rows)) for name, server in servers.items() if name != "bare"}
    first = next(iter(answers.values()))
    for name, answer in answers.items():
        if answer.shape != first.shape or np.abs(answer - first).max() > 1e-5:
            raise RuntimeError(f"{name} forecasts otherwise than the others")


def cost(bench: Bench) -> None:
    """The processor's time of one request and of a bulk: on a busy machine it says more than how long they take."""
    names = ("outfielder", *PROTOCOLS, "bare")
    one: dict[str, list[float]] = {name: [] for name in names}
    many: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        servers = {name: bench.start(stack, name) for name in names}
        loads = [
            (times, {name: bench.bodies(server, "lstm", n, count=count) for name, server in servers.items()})
            for times, n, count in ((one, 1, BODIES), (many, BULK, BULK_BODIES))
        ]
        for name, server in servers.items():
            bench.load(server, loads[0][1][name], 1, 1)
        for _ in range(max(bench.rounds, 3)):
            for times, bodies in loads:
                for name, server in servers.items():
                    before = server.cpu_seconds()
                    result = bench.load(server, bodies[name], 1)
                    times[name].append((server.cpu_seconds() - before) / result.requests * 1000)
    print("\n### The processor's time of one request, LSTM, one connection\n")
    print(
        f"| | one series, ms | above a bare answer | {BULK} series, ms | above a bare answer |\n|---|---|---|---|---|"
    )
    bare = [statistics.median(times["bare"]) for times in (one, many)]
    for name in names:
        medians = [statistics.median(times[name]) for times in (one, many)]
        cells = [f"{median:.3f} | {median - least:.3f}" for median, least in zip(medians, bare, strict=True)]
        print(f"| {'a bare ASGI answer' if name == 'bare' else name} | {' | '.join(cells)} |", flush=True)


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
                running_bulk = begin(Load(server.port, server.path, many, 1, bench.seconds + 1.5))
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
