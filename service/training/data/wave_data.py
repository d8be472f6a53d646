"""What a job trains on: windows of its series, split and scaled."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.baselines import apply_linear, fit_linear, naive
from service.domain.metrics import score
from service.domain.panel_windows import TrainingWindows
from service.domain.recipes.recipe import Recipe
from service.domain.scaling import Statistics, measure
from service.domain.waves import generate_waves, split_rows
from service.domain.windows import make_targets, split_window

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WavePart:
    """One part of the data: windows [n, window] and what came after [n, horizon], in the user's units.

    `scaled_inputs` and `targets` are the same in the model's units, as the network learns them.
    """

    inputs: Array
    futures: Array
    statistics: Statistics
    scaled_inputs: Array
    targets: Array

    @property
    def windows(self) -> TrainingWindows:
        """What a network is fitted to, each window counting alike."""
        return TrainingWindows(self.scaled_inputs, self.targets, np.ones(len(self.targets), np.float32))


@dataclass(frozen=True, eq=False)
class WaveData:
    """Training, validation and test parts, and the SHA-256 of the series that they come from."""

    train: WavePart
    validation: WavePart
    test: WavePart
    digest: str
    n_series: int

    @property
    def n_windows(self) -> int:
        return len(self.train.inputs)

    @cached_property
    def baselines(self) -> dict[str, dict[str, Any]]:
        """Scores of naive and linear (least squares on the training windows) on the parts that are held out.

        Returns:
            `{"naive": {"validation": {..}, "test": {..}}, "linear": {..}}`, each leaf as `service.domain.metrics.score`
            gives it.
        """
        train = self.train
        # The linear baseline learns in scaled units, as the networks do, so that it too fits series of any magnitude.
        coefficients = fit_linear(train.scaled_inputs, train.statistics.transform(train.futures))

        def repeat_last(part: WavePart) -> NDArray[np.floating]:
            return naive(part.inputs, part.futures.shape[1])

        def apply(part: WavePart) -> NDArray[np.floating]:
            return part.statistics.inverse(apply_linear(coefficients, part.scaled_inputs))

        held_out = {"validation": self.validation, "test": self.test}
        return {
            baseline: {name: score(part.futures, forecast(part)) for name, part in held_out.items()}
            for baseline, forecast in (("naive", repeat_last), ("linear", apply))
        }


def prepare_waves(recipe: Recipe) -> WaveData:
    """Makes a recipe's series and cuts them: the first 70 % of them to train on, 20 % to validate, 10 % to test."""
    data = recipe.waves
    series = generate_waves(data.n_series, data.n_steps, noise=data.noise, seed=data.seed)
    train, validation, test = (_part(series[rows], recipe) for rows in split_rows(data.n_series))
    return WaveData(train, validation, test, hashlib.sha256(series.tobytes()).hexdigest(), data.n_series)


def _part(series: Array, recipe: Recipe) -> WavePart:
    inputs, futures = split_window(series, recipe.window, recipe.horizon)
    statistics = measure(inputs, recipe.scaling)
    scaled = statistics.transform(np.hstack([inputs, futures]))
    targets = make_targets(scaled, recipe.window, recipe.horizon, recipe.head, recipe.preset)
    return WavePart(
        np.ascontiguousarray(inputs, dtype=np.float32),
        np.ascontiguousarray(futures, dtype=np.float32),
        statistics,
        np.ascontiguousarray(scaled[:, : recipe.window], dtype=np.float32),
        np.ascontiguousarray(targets, dtype=np.float32),
    )
