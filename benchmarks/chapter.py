"""Reproduces the chapter's figures (A. Géron, Hands-On Machine Learning, chapter 15) with the service's training code.

Run it with `make bench-chapter`. Settings are the chapter's: 10,000 waves, `scaling: none`, 20 epochs, batches of 32.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


@dataclass(frozen=True)
class Row:
    """A row of the chapter's table: what to train, and the validation MSE that was published for it."""

    label: str
    request: dict[str, Any]
    published: float
    many_seeds: bool = False


SEEDS = (42, 43, 44)
# Published: A. Géron's notebook for chapter 15 (ageron/handson-ml2) as printed, one seed. sequence_rnn's is the upper
# end of its own runs (0.0058 to 0.0096); naive at ten steps is 0.257 (0.223 is often quoted and comes from a bug).
ROWS = (
    Row("naive, one step", {"architecture": "naive", "head": "one_step"}, 0.0202),
    Row("linear, one step", {"architecture": "linear", "head": "one_step"}, 0.0042),
    Row("simple_rnn", {"architecture": "simple_rnn"}, 0.0109),
    Row("deep_rnn", {"architecture": "deep_rnn"}, 0.0029),
    Row("deep_rnn, dense readout", {"architecture": "deep_rnn", "readout": "dense"}, 0.0026),
    Row("naive, ten steps", {"architecture": "naive"}, 0.257, many_seeds=True),
    Row("linear, ten steps", {"architecture": "linear"}, 0.0187, many_seeds=True),
    Row("vector_rnn", {"architecture": "vector_rnn"}, 0.0085, many_seeds=True),
    Row("sequence_rnn", {"architecture": "sequence_rnn"}, 0.0096, many_seeds=True),
    Row("ln_rnn", {"architecture": "ln_rnn"}, 0.0121),
    Row("lstm", {"architecture": "lstm"}, 0.0086),
    Row("gru", {"architecture": "gru"}, 0.0103),
    Row("conv_gru", {"architecture": "conv_gru"}, 0.0080, many_seeds=True),
    Row("wavenet", {"architecture": "wavenet"}, 0.0072, many_seeds=True),
    Row("encoder_decoder", {"architecture": "encoder_decoder"}, float("nan")),
    Row("vector_to_sequence", {"architecture": "vector_to_sequence"}, float("nan")),
    Row("ridge", {"architecture": "ridge"}, float("nan")),
    Row("mlp", {"architecture": "mlp"}, float("nan")),
    Row("patchtst", {"architecture": "patchtst"}, float("nan")),
    Row("theta", {"architecture": "theta"}, float("nan")),
    Row("theta_mlp", {"architecture": "theta_mlp"}, float("nan")),
)
# A reproduction is no worse than this many times the published figure: single runs with one seed differ by 40 %.
BAR = 1.4
TEN_STEP_BAR = 0.010
RANKING = ("sequence_rnn", "vector_rnn", "linear, ten steps", "naive, ten steps")


@dataclass(frozen=True)
class Fitted:
    parameters: int
    validation: float
    test: float
    seconds: float


def fit_row(row: Row, seed: int, epochs: int | None) -> Fitted:
    """Trains and scores one row with one seed; the errors are in the waves' own units."""
    from service.domain.recipes.presets import PRESETS
    from service.domain.recipes.resolve import resolve
    from service.training.data.wave_data import prepare_waves
    from service.training.fit import fit
    from service.training.wave_scores import score_waves

    fitted = PRESETS[row.request["architecture"]].is_fitted
    shorter = {"epochs": epochs} if epochs is not None and fitted else {}
    recipe = resolve({**row.request, **shorter, "scaling": "none", "seed": seed})
    started = time.perf_counter()
    waves = prepare_waves(recipe)
    network, _ = fit(
        recipe,
        waves.train.windows,
        waves.validation.windows,
        on_batch=lambda: None,
        on_epoch=lambda epoch: None,
    )
    seconds = time.perf_counter() - started
    metrics = score_waves(recipe, [network], waves)
    return Fitted(network.count_params(), metrics["validation"]["mse"], metrics["test"]["mse"], seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chapter", description=__doc__)
    parser.add_argument("--epochs", type=int, help="fewer epochs than the chapter's 20, for a quick look")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="rows whose architecture is named")
    options = parser.parse_args(arguments)
    rows = [row for row in ROWS if not options.only or row.request["architecture"] in options.only]
    print(f"{'model':<24} {'weights':>7} {'validation':>10} {'test':>8} {'published':>9} {'ratio':>6} {'seconds':>8}")
    medians: dict[str, float] = {}
    failures = []
    for row in rows:
        runs = [fit_row(row, seed, options.epochs) for seed in (SEEDS if row.many_seeds else SEEDS[:1])]
        first = runs[0]
        medians[row.label] = statistics.median(run.validation for run in runs)
        ratio = first.validation / row.published
        if ratio > BAR:
            failures.append(f"{row.label}: {ratio:.2f} times the published figure")
        print(
            f"{row.label:<24} {first.parameters:>7} {first.validation:>10.4f} {first.test:>8.4f} {row.published:>9.4f} "
            f"{ratio:>6.2f} {first.seconds:>8.1f}",
            flush=True,
        )
        if row.many_seeds:
            values = ", ".join(f"{run.validation:.4f}" for run in runs)
            print(f"{'':<24} seeds {', '.join(map(str, SEEDS))}: {values}; median {medians[row.label]:.4f}", flush=True)
    failures += check_medians(medians)
    print("\n".join(["", *(f"MISSED {failure}" for failure in failures)] if failures else ["", "All bars are met."]))
    return 1 if failures else 0


def check_medians(medians: dict[str, float]) -> list[str]:
    """What the medians over seeds miss: the chapter's ranking, and the two best under 0.010."""
    failures = []
    if set(RANKING) <= medians.keys():
        ranked = [medians[label] for label in RANKING]
        if ranked != sorted(ranked):
            failures.append(f"the ranking {' < '.join(RANKING)}: {ranked}")
    for label in ("conv_gru", "wavenet"):
        if medians.get(label, 0.0) >= TEN_STEP_BAR:
            failures.append(f"{label}: median {medians[label]:.4f}, expected under {TEN_STEP_BAR}")
    return failures


if __name__ == "__main__":
    sys.exit(main())
