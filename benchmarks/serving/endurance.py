"""Endurance: no request fails while versions are replaced, and memory doesn't grow.

`python -m benchmarks.serving --tables swap,soak --soak-minutes 60`
"""

import http.client
import json
import shutil
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.asking import begin, finish
from benchmarks.serving.load import Load
from benchmarks.serving.servers import KINDS, Server, running

CONNECTIONS = 64
SWAP_EVERY_SECONDS = 0.1
BULKS_PER_SECOND = 4.0
SINGLE_CONNECTIONS = 8
# Of what the server answers of single requests at most; the bulks use the rest of 70 %.
SINGLE_SHARE = 0.55
REPORTS = 6


@dataclass
class _Tally:
    """Answers by version; `wrong` hold another version's numbers than they say."""

    answers: Counter[int] = field(default_factory=Counter)
    failed: int = 0
    wrong: int = 0


def swap(store: Path, scratch: Path, seconds: float) -> None:
    """Asks over 64 connections while an alias goes to and fro between two models."""
    folder = Path(tempfile.mkdtemp(dir=scratch, prefix="swap"))
    for version, model in ((1, "lstm"), (2, "gru")):
        target = folder / "store" / "m" / str(version)
        shutil.copytree(store / model / "1", target)
        facts = json.loads((target / "manifest.json").read_text())
        (target / "manifest.json").write_text(json.dumps({**facts, "name": "m", "version": version}))
    body = json.dumps({"model": "m", "series": np.random.default_rng(1).normal(size=50).round(4).tolist()}).encode()
    with running(KINDS["outfielder"], folder / "store", "m", folder) as server:
        expected = {version: _ask(server, body, version)["forecasts"][0]["values"] for version in (1, 2)}
        tallies = [_Tally() for _ in range(CONNECTIONS)]
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=_watch, args=(server, body, expected, end, tally)) for tally in tallies]
        for thread in threads:
            thread.start()
        swaps = 0
        while time.monotonic() < end:
            _send(server, "PUT", "/models/m/aliases/champion", json.dumps({"version": 1 + swaps % 2}).encode())
            swaps += 1
            time.sleep(SWAP_EVERY_SECONDS)
        for thread in threads:
            thread.join()
    answers: Counter[int] = sum((tally.answers for tally in tallies), Counter())
    print(f"\n### Hot swap under {CONNECTIONS} connections, one process\n")
    print("| swaps | answers of version 1 | of version 2 | failed | with another version's numbers |")
    print("|---|---|---|---|---|")
    failed, wrong = (sum(getattr(tally, name) for tally in tallies) for name in ("failed", "wrong"))
    print(f"| {swaps} | {answers[1]:,} | {answers[2]:,} | {failed} | {wrong} |", flush=True)


def soak(store: Path, scratch: Path, minutes: float) -> None:
    """Single requests and bulks at about 70 % of what the server can do; memory by time."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(dir=scratch, prefix="soak"))
        server = stack.enter_context(running(KINDS["outfielder"], store, "lstm", folder))
        rng = np.random.default_rng(2)
        files = {}
        for name, n in (("one", 1), ("many", 1000)):
            rows = [rng.normal(size=(n, 50)).round(4).tolist() for _ in range(4)]
            files[name] = folder / f"{name}.jsonl"
            files[name].write_text("\n".join(json.dumps(KINDS["outfielder"].body("lstm", one)) for one in rows))
        path, seconds = KINDS["outfielder"].path, minutes * 60
        most = finish(begin(Load(server.port, path, str(files["one"]), SINGLE_CONNECTIONS, 3))).per_second
        rate = SINGLE_SHARE * most
        loads = [
            begin(Load(server.port, path, str(files["one"]), SINGLE_CONNECTIONS, seconds, rate)),
            begin(Load(server.port, path, str(files["many"]), 1, seconds, BULKS_PER_SECOND)),
        ]
        print(f"\n### {minutes:g} minutes of {rate:,.0f} single requests and {BULKS_PER_SECOND:g} bulks a second\n")
        print("| minute | resident MB | processor |\n|---|---|---|")
        for report in range(1, REPORTS + 1):
            used, begun = server.cpu_seconds(), time.monotonic()
            time.sleep(seconds / REPORTS * 0.97)
            share = (server.cpu_seconds() - used) / (time.monotonic() - begun)
            print(f"| {minutes * report / REPORTS:.1f} | {server.resident():.1f} | {share:.2f} cores |", flush=True)
        single, bulk = (finish(load) for load in loads)
    failures = {**single.failures, **bulk.failures} or "none"
    print(
        f"\n{single.requests:,} single requests, p50 {single.p50:.2f} ms, p99 {single.p99:.2f} ms; {bulk.requests:,} "
        f"bulks, p50 {bulk.p50:.0f} ms; failures: {failures}.",
        flush=True,
    )


def _watch(server: Server, body: bytes, expected: dict[int, Any], end: float, tally: _Tally) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    while time.monotonic() < end:
        try:
            connection.request("POST", "/forecast", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            tally.failed += 1
            connection.close()
            continue
        if answer.status != http.HTTPStatus.OK:
            tally.failed += 1
            continue
        found = json.loads(text)
        tally.answers[found["version"]] += 1
        # Sums over a batch are rounded otherwise than alone.
        if not np.allclose(found["forecasts"][0]["values"], expected[found["version"]], atol=1e-5):
            tally.wrong += 1
    connection.close()


def _ask(server: Server, body: bytes, version: int) -> Any:
    return json.loads(_send(server, "POST", "/forecast", json.dumps({**json.loads(body), "version": version}).encode()))


def _send(server: Server, method: str, path: str, body: bytes) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{method} {path}: {answer.status} {text!r}")
    return text
