"""The graph that is served: a version's forecasts as signatures of a SavedModel, for right-padded series."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from service.domain.recipes.recipe import Recipe
from service.networks.network import Network, make_network
from service.networks.rollout import EnsembleForecaster, Forecaster
from service.networks.tensorflow_operations import TensorFlowOperations

Tensor = Any

SERIES = tf.TensorSpec([None, None, 1], tf.float32, name="series")
LENGTHS = tf.TensorSpec([None], tf.int32, name="lengths")
HORIZON = tf.TensorSpec([], tf.int32, name="horizon")


class ServingGraph(tf.Module):
    """A version's network, or those of its ensemble's members, as TensorFlow computes them."""

    def __init__(self, networks: Sequence[Network], recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.networks = list(networks)
        self._xp = TensorFlowOperations()
        members = recipe.members or (recipe,)
        self.forecaster = EnsembleForecaster(
            [Forecaster(network, member, cuts=True) for network, member in zip(networks, members, strict=True)]
        )

    def signatures(self) -> dict[str, Any]:
        """The SavedModel's signatures by name."""
        return {
            "serving_default": self.forecast,
            "forecast_ragged": self.forecast_ragged,
            "rollout": self.rollout,
        }

    @tf.function(autograph=False, input_signature=[SERIES])
    def forecast(self, series: Tensor) -> dict[str, Tensor]:
        """Series of one length [batch, time, 1] -> forecast [batch, horizon]."""
        shape = tf.shape(series)
        return self.forecast_ragged(series, tf.fill([shape[0]], shape[1]))

    @tf.function(autograph=False, input_signature=[SERIES, LENGTHS])
    def forecast_ragged(self, series: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Right-padded series [batch, time, 1] and their lengths [batch] -> forecast [batch, horizon]."""
        return {"forecast": self.forecaster.forecast(self._xp, series[:, :, 0], self._demand_enough(lengths))}

    @tf.function(autograph=False, input_signature=[SERIES, LENGTHS, HORIZON])
    def rollout(self, series: Tensor, lengths: Tensor, horizon: Tensor) -> dict[str, Tensor]:
        """As `forecast_ragged`, with whole blocks fed back until `horizon` steps are there: [batch, horizon]."""
        lengths = self._demand_enough(lengths)
        return {"forecast": self.forecaster.rollout(self._xp, series[:, :, 0], lengths, horizon)}

    def _demand_enough(self, lengths: Tensor) -> Tensor:
        fewest = self.recipe.min_length
        enough = tf.debugging.assert_greater_equal(
            lengths, fewest, message=f"This model needs at least {fewest} points."
        )
        with tf.control_dependencies([enough]):
            return tf.identity(lengths)


class SequenceServingGraph(ServingGraph):
    """That of one network with a sequence head. A SavedModel holds all functions of its graph, served or not."""

    def signatures(self) -> dict[str, Any]:
        return super().signatures() | {"all_steps": self.all_steps}

    @tf.function(autograph=False, input_signature=[SERIES, LENGTHS])
    def all_steps(self, series: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """A sequence head's forecast at every output step [batch, steps, horizon], zeros after a row's own `steps`."""
        lengths = self._demand_enough(lengths)
        forecast, counts = self.forecaster.members[0].all_steps(self._xp, series[:, :, 0], lengths)
        return {"forecast": forecast, "steps": counts}


def make_serving_graph(recipe: Recipe, weights: Sequence[Any]) -> ServingGraph:
    """The graph to export: of the recipe's network, or of its members', with weights in the order of training."""
    networks = []
    rest = list(weights)
    for member in recipe.members or (recipe,):
        # Without dropout, which a forecast never draws.
        network = make_network(replace(member, dropout=0.0, recurrent_dropout=0.0))
        count = len(network.get_weights())
        network.set_weights(rest[:count])
        rest = rest[count:]
        networks.append(network)
    is_sequence = not recipe.members and recipe.head == "sequence"
    return (SequenceServingGraph if is_sequence else ServingGraph)(networks, recipe)
