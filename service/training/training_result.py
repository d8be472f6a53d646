"""What a fit hands on to be published."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.recipes.recipe import Recipe
from service.networks.network import Network
from service.training.reference_forecast import forecast

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """A fitted recipe with all that its manifest will say.

    `proof_series` [n, time] are what an export is proved by, in the user's units.
    `measured_weights` are those that the metrics belong to, where the fit went on after measuring.
    """

    recipe: Recipe
    networks: list[Network]
    metrics: dict[str, Any]
    data: dict[str, Any]
    epochs_run: int
    proof_series: list[Array]
    calibration: dict[str, Any] | None = None
    gate: dict[str, Any] | None = None
    measured_weights: list[Array] | None = None

    @property
    def proofs(self) -> list[tuple[Array, Array]]:
        """The series with the trained networks' forecasts for them [n, horizon]."""
        return [(series, forecast(self.recipe, self.networks, series)) for series in self.proof_series]

    @property
    def weights(self) -> list[Array]:
        """All weights, of an ensemble one member's after the other's."""
        return [weights for network in self.networks for weights in network.get_weights()]
