"""How large errors are in the units that the combiner gives: what intervals of any level are made of."""

import numpy as np
from numpy.typing import NDArray

from pretraining.examples import Examples
from pretraining.fit import apply
from service.networks.zero_shot import Combiner

Floats = NDArray[np.float64]

# So many quantiles bear levels up to 99.95 %.
QUANTILES = 1999


def measure_ratios(combiner: Combiner, examples: Examples) -> Floats:
    """Absolute errors in units of the combiner, of all series and steps: [n]."""
    combination = apply(combiner, examples)
    counted = examples.is_step > 0
    ratios = np.abs(examples.targets - np.asarray(combination.forecast)) / np.asarray(combination.unit)
    return np.asarray(ratios[counted], np.float64)


def find_factor(bound: float, samples: list[Floats]) -> float:
    """How much larger errors of a group of series are than others: half of it, as a logarithm.

    Half, since the real series of a group are of one collection, and others may be as calm as the synthetic ones.

    Args:
        bound: what 80 % of all errors are under.
        samples: the group's errors; without any the factor is 1.
    """
    return float(np.sqrt(np.quantile(np.concatenate(samples), 0.8) / bound)) if samples else 1.0


def to_residuals(samples: list[Floats]) -> list[float]:
    """Quantiles of several samples that count alike, ascending."""
    shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
    rng = np.random.default_rng(0)
    size = max(map(len, samples))
    pooled = np.concatenate([rng.choice(sample, size) for sample in samples])
    return [float(value) for value in np.quantile(pooled, shares)]
