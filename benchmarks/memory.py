"""The memory of trainings, each in a process of its own, and the estimate of `domain/recipes/memory_estimate.py`.

`python -m benchmarks.memory [NAME ...]`
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REQUESTS: dict[str, dict[str, Any]] = {
    "lstm": {"architecture": "lstm"},
    "10^6 series of 60": {
        "architecture": "lstm", "head": "one_step", "window": 59, "batch_size": 4096,
        "data": {"n_series": 1_000_000, "n_steps": 60},
    },
    "300 steps, sequence": {
        "architecture": "lstm", "window": 280, "horizon": 20, "data": {"n_series": 20_000, "n_steps": 300},
    },
    "lstm, 2 x 1024": {"architecture": "lstm", "units": 1024, "layers": 2, "data": {"n_series": 500}},
    "gru, batch 4096": {"architecture": "gru", "units": 64, "batch_size": 4096},
    "lstm, 16 layers": {"architecture": "lstm", "layers": 16, "data": {"n_series": 500}},
    "wavenet, 128, batch 512": {
        "architecture": "wavenet", "units": 128, "batch_size": 512, "data": {"n_series": 2000},
    },
    "flagship": {"architecture": "flagship", "data": {"n_series": 2000}, "max_windows": 12_800},
    "linear, sequence of 1000": {
        "architecture": "linear", "head": "sequence", "window": 1000, "data": {"n_series": 1000, "n_steps": 1010},
    },
    "mlp, 2 x 10^6 points": {"architecture": "mlp", "own": (20_000, 100)},
    "mlp, 2 x 2048, 100 series": {"architecture": "mlp", "units": 2048, "own": (100, 100)},
}  # fmt: skip


def main() -> None:
    print("| training | estimated | measured | of it data, weights, activations, program |\n|---|---|---|---|")
    for name in sys.argv[1:] or list(REQUESTS):
        command = [sys.executable, "-c", "from benchmarks.memory import measure; measure()", name]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:
            print(f"| {name} | failed: {(found.stderr.strip().splitlines() or ['?'])[-1][:200]} | | |", flush=True)
            continue
        estimated, measured, parts = json.loads(found.stdout.splitlines()[-1])
        parts_text = ", ".join(f"{part / 2**30:.2f}" for part in parts)
        print(f"| {name} | {estimated / 2**30:.2f} GiB | {measured / 2**30:.2f} GiB | {parts_text} |", flush=True)


def measure() -> None:
    """Trains for an epoch, and prints what that was estimated to take, what it took at most, and the estimate's parts.

    Both processes count, the one that fits and the one that exports, each as it was when it held most.
    """
    import numpy as np

    from service.domain.panel import Panel
    from service.domain.recipes.auto_candidates import make_training_plan
    from service.domain.recipes.memory_estimate import estimate
    from service.domain.recipes.recipe import PanelData
    from service.training.trainer import Trainer

    request = dict(REQUESTS[sys.argv[1]])
    panel, data, lengths = None, None, None
    if "own" in request:
        n_series, n_points = request.pop("own")
        values = np.random.default_rng(0).random((n_series, n_points)).cumsum(axis=1)
        panel = Panel(tuple(map(str, range(n_series))), tuple(values), (None,) * n_series, "MS")
        data = PanelData("series", "bench", panel.digest(), n_series, panel.n_points, "MS")
        lengths = np.full(n_series, n_points)
    made = make_training_plan({"epochs": 1, **request}, data, lengths)

    def load(panel_id: str, *, digest: str | None = None) -> Panel:
        del panel_id, digest
        assert panel is not None  # asked for only where there is one
        return panel

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Path(folder), load)
        trainer.train(made, _Run())
        trainer.close()
    taken = sum(resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found = estimate(made)
    parts = [found.data, found.weights, found.activations, found.program]
    print(json.dumps([found.total, taken, parts]))


class _Run:
    job_id = "bench"
    attempt = 1

    def report(self, progress: Any) -> None:
        del progress

    def raise_if_stopped(self) -> None:
        return None

    def confirm(self) -> None:
        return None


if __name__ == "__main__":
    main()
