"""How time and memory of our server grow with the size of requests."""

import json
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.serving.bench import BODIES, POINTS, Bench

# Models of one step ahead, which feed every step back.
ONE_STEP = ("deep_rnn", "lstm_one_step", "gru_one_step", "wavenet_one_step")
GROWTH_STEPS = (1, 10, 100, 1000)
GROWTH_POINTS = (50, 500, 5000)
GROWTH_SERIES = (1, 10, 100, 1000, 10_000, 100_000)
GROWTH_MODELS = (1, 100, 300)


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
