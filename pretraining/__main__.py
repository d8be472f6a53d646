"""Pretrains the zero-shot model on synthetic series and writes the version that ships in the package.

Run it with `make pretrain`: five minutes on two cores. The same seed and libraries give the same version. Its choices
are validated on synthetic series that it was not fitted to, and on M1. `python -m pretraining --again` keeps the
weights and writes the graphs anew, where only how they are computed has changed.
"""

import argparse
import os
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from pretraining.calibration import find_factor, measure_ratios, to_residuals
from pretraining.examples import KINDS, Examples, draw_examples
from pretraining.export import NAME, export, export_again
from pretraining.fit import apply, fit
from pretraining.validation import Set, load_m1, mean_scaled_error, pack, to_examples
from service.engines.zero_shot import N_GROUPS, find_group
from service.networks.operations import NumPyOperations
from service.networks.zero_shot import Combiner, backtest_experts, combine
from service.store.pretrained import FOLDER

# Series that one process draws at once; the seed of each part is the seed and its number.
PART_SERIES = 20_000
HELD_OUT_SERIES = 40_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pretraining", description=__doc__)
    parser.add_argument("--series", type=int, default=400_000, help="how many synthetic series to learn from")
    parser.add_argument("--steps", type=int, default=4_000, help="batches to fit to")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that draw series")
    parser.add_argument("--folder", type=Path, default=FOLDER / NAME, help="where the version is written")
    parser.add_argument(
        "--again", action="store_true", help="only write the version in the folder anew, with the weights it has"
    )
    arguments = parser.parse_args()
    if arguments.again:
        _write_again(arguments.folder)
        return
    started = time.monotonic()
    print(describe_machine(), flush=True)
    parts = -(-arguments.series // PART_SERIES)
    with ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool:
        seeds = [arguments.seed * 1_000_000 + part for part in range(parts + HELD_OUT_SERIES // PART_SERIES)]
        drawn = list(pool.map(partial(draw_examples, count=PART_SERIES), seeds))
    examples, held_out = _join(drawn[:parts]), _join(drawn[parts:])
    print(f"{len(examples.features)} series drawn and tried after {time.monotonic() - started:.0f} s", flush=True)
    combiner = fit(examples, steps=arguments.steps, seed=arguments.seed)
    seconds = time.monotonic() - started
    print(f"fitted after {seconds:.0f} s\n\n| series | MASE | coverage of 80 % | of 95 % |\n|---|---|---|---|")
    sets = load_m1()
    real = [measure_ratios(combiner, to_examples(data)) for data in sets]
    held = measure_ratios(combiner, held_out)
    residuals = to_residuals([held, np.concatenate(real)])
    bounds = np.quantile(residuals, [0.8, 0.95])
    groups = [find_group(data.seasons.short) for data in sets]
    factors = [
        find_factor(bounds[0], [ratios for own, ratios in zip(groups, real, strict=True) if own == group])
        for group in range(N_GROUPS)
    ]
    real = [ratios / factors[find_group(data.seasons.short)] for data, ratios in zip(sets, real, strict=True)]
    scores = {}
    for data, ratios in zip(sets, real, strict=True):
        scores[data.name] = mean_scaled_error(data, _forecast(combiner, data))
        _show(data.name, scores[data.name], ratios, bounds)
    for place, kind in enumerate(KINDS):
        part = held_out.take(np.flatnonzero(held_out.kind == place))
        if not len(part.kind):
            continue
        counted = part.is_step > 0
        error = np.abs(part.targets - np.asarray(apply(combiner, part).forecast)) / part.unit[:, None]
        _show(
            f"synthetic, seasons {kind.seasons.short}, {kind.seasons.long}",
            float(error[counted].mean()),
            measure_ratios(combiner, part) / factors[find_group(kind.seasons.short)],
            bounds,
        )
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    facts = {
        "data": {
            "kind": "synthetic",
            "n_series": len(examples.features),
            "freq": None,
        },
        "metrics": {"validation": {"mase": float(np.mean(list(scores.values())))}},
        "epochs_run": 0,
        "seconds": round(seconds, 1),
    }
    manifest = export(
        combiner, arguments.folder, residuals=residuals, factors=factors, facts=facts, seed=arguments.seed
    )
    size = sum(path.stat().st_size for path in arguments.folder.rglob("*") if path.is_file())
    print(f"\n{manifest.parameters} weights, {size / 1e6:.1f} MB in {arguments.folder}", flush=True)


def _write_again(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        into = Path(place, NAME)
        into.mkdir()
        manifest = export_again(folder, into)
        shutil.rmtree(folder)
        shutil.copytree(into, folder)
    print(f"{manifest.parameters} weights in {folder}, ONNX differs by {manifest.engines['onnx']['difference']:.1e}")


def _join(parts: list[Examples]) -> Examples:
    return Examples(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _forecast(combiner: Combiner, data: Set) -> NDArray[np.float64]:
    """All steps of a set's forecasts [n, horizon]; examples hold some of a long horizon."""
    past, lengths = pack(data.past, data.seasons)
    horizon = np.int64(data.future.shape[1])
    xp, steps = NumPyOperations(), np.arange(horizon)
    backtest = backtest_experts(
        xp, past.astype(np.float32), lengths, np.int64(data.seasons.short), None, steps, horizon
    )
    return np.asarray(combine(xp, combiner, backtest, steps, horizon).forecast, np.float64)


def _show(name: str, error: float, ratios: NDArray[np.float64], bounds: NDArray[np.float64]) -> None:
    inside = [100 * float((ratios <= bound).mean()) for bound in bounds]
    print(f"| {name} | {error:.3f} | {inside[0]:.1f} | {inside[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
