"""What a fit hands on to be published."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.recipes.recipe import Recipe
from service.networks.network import Network

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """A fitted recipe with all that its manifest will say.

    `proofs` are series [n, time] with the trained networks' forecasts for them [n, horizon], both in the user's units.
    `measured_weights` are those that the metrics belong to, where the fit went on after measuring.
    """

    recipe: Recipe
    networks: list[Network]
    metrics: dict[str, Any]
    data: dict[str, Any]
    epochs_run: int
    proofs: list[tuple[Array, Array]]
    calibration: dict[str, Any] | None = None
    gate: dict[str, Any] | None = None
    measured_weights: list[Array] | None = None

    @property
    def weights(self) -> list[Array]:
        """All weights, of an ensemble one member's after the other's."""
        return [weights for network in self.networks for weights in network.get_weights()]
