"""The graph that is served: a network's forecasts in the user's own units, for right-padded series of any lengths."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from service.domain.differencing import phase
from service.domain.recipes.recipe import CONV_STRIDE, Recipe, weight_shares
from service.training.scale import Scale, measure
from service.zoo.network import Network, make_network

Tensor = Any

SERIES = tf.TensorSpec([None, None, 1], tf.float32, name="series")
LENGTHS = tf.TensorSpec([None], tf.int32, name="lengths")
HORIZON = tf.TensorSpec([], tf.int32, name="horizon")


def make_serving_network(recipe: Recipe) -> Network:
    """The network to export: that of the recipe without dropout, which a forecast never draws.

    Its weights are those of the trained network, in the same order.
    """
    return make_network(replace(recipe, dropout=0.0, recurrent_dropout=0.0))


class ForecastGraph(tf.Module):
    """A network with its scaling and differencing, as signatures of a SavedModel.

    Statistics are frozen through a roll-out.
    """

    def __init__(self, network: Network, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe

    def signatures(self) -> dict[str, Any]:
        """The SavedModel's signatures by name."""
        return {
            "serving_default": self.forecast,
            "forecast_ragged": self.forecast_ragged,
            "rollout": self.rollout,
        }

    @tf.function(input_signature=[SERIES])
    def forecast(self, series: Tensor) -> dict[str, Tensor]:
        """Series of one length [batch, time, 1] -> forecast [batch, horizon]."""
        shape = tf.shape(series)
        return self.forecast_ragged(series, tf.fill([shape[0]], shape[1]))

    @tf.function(input_signature=[SERIES, LENGTHS])
    def forecast_ragged(self, series: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Right-padded series [batch, time, 1] and their lengths [batch] -> forecast [batch, horizon]."""
        x, lengths, scale = self._prepare(series, lengths)
        answer, _ = self.network.begin(*self._differences(x, lengths))
        return {"forecast": scale.inverse(answer + self._base(x, lengths, self.network.horizon))}

    @tf.function(input_signature=[SERIES, LENGTHS, HORIZON])
    def rollout(self, series: Tensor, lengths: Tensor, horizon: Tensor) -> dict[str, Tensor]:
        """As `forecast_ragged`, with whole blocks fed back until `horizon` steps are there: [batch, horizon]."""
        x, lengths, scale = self._prepare(series, lengths)
        block = self.network.horizon
        n_blocks = (horizon + block - 1) // block
        roll = self._resume if self.network.body.can_resume(block) else self._encode_again
        blocks = roll(*self._differences(x, lengths), n_blocks)  # [blocks, batch, block]
        values = tf.reshape(tf.transpose(blocks, [1, 0, 2]), [tf.shape(x)[0], n_blocks * block])
        return {"forecast": scale.inverse(self._integrate(values, x, lengths)[:, :horizon])}

    def _prepare(self, series: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Scale]:
        """The points that count, in the model's units [batch, time, 1], their lengths, and their scale."""
        recipe = self.recipe
        enough = tf.debugging.assert_greater_equal(
            lengths, recipe.min_length, message=f"This model needs at least {recipe.min_length} points."
        )
        with tf.control_dependencies([enough]):
            lengths = tf.identity(lengths)
        if not recipe.reads_whole_series:
            series, lengths = _last_points(series, lengths, recipe.window)
        own = tf.sequence_mask(lengths, tf.shape(series)[1])  # [batch, time]
        # Padding may hold anything, NaN included: it is cleared before any arithmetic.
        x = tf.where(own, series[:, :, 0], 0.0)
        scale = measure(x, own, recipe)
        return tf.where(own, scale.transform(x), 0.0)[:, :, None], lengths, scale

    def _differences(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What the network reads, and its lengths: with a lag the differences, `lag` points fewer."""
        lag = self.recipe.lag
        if lag == 0:
            return x, lengths
        own = tf.sequence_mask(lengths - lag, tf.shape(x)[1] - lag)
        return tf.where(own[:, :, None], x[:, lag:] - x[:, :-lag], 0.0), lengths - lag

    def _base(self, x: Tensor, lengths: Tensor, horizon: int) -> Tensor:
        """What the network's answers are differences from: [batch, horizon], or 0."""
        if self.recipe.lag == 0:
            return 0.0
        return tf.gather(x[:, :, 0], lengths[:, None] - phase(horizon, self.recipe.lag)[None, :], batch_dims=1)

    def _feed(self, answer: Tensor) -> Tensor:
        """A block of answers as the network reads it when it is fed back: [batch, block, 1]."""
        lag = self.recipe.lag
        if lag and self.network.horizon > lag:
            answer = tf.concat([answer[:, :lag], answer[:, lag:] - answer[:, :-lag]], axis=1)
        return answer[:, :, None]

    def _integrate(self, fed: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
        """Differences that were fed back [batch, time] as values: sums over all steps of one phase."""
        lag = self.recipe.lag
        if lag == 0:
            return fed
        batch, time = tf.shape(fed)[0], tf.shape(fed)[1]
        missing = -time % lag
        seasons = tf.reshape(tf.pad(fed, [[0, 0], [0, missing]]), [batch, (time + missing) // lag, lag])
        values = tf.cumsum(seasons, axis=1) + self._base(x, lengths, lag)[:, None, :]
        return tf.reshape(values, [batch, time + missing])[:, :time]

    def _resume(self, x: Tensor, lengths: Tensor, n_blocks: Tensor) -> Tensor:
        """Goes on from the state after the series: n + h steps of work. Blocks as they are fed back."""
        block = self.network.horizon
        answer, state = self.network.begin(x, lengths)
        fed = tf.ensure_shape(self._feed(answer), [None, block, 1])
        blocks = tf.TensorArray(tf.float32, size=n_blocks, element_shape=[None, block]).write(0, fed[:, :, 0])

        def body(i: Tensor, fed: Tensor, state: list[Tensor], blocks: Any) -> tuple[Any, ...]:
            answer, state = self.network.resume(fed, state)
            fed = tf.ensure_shape(self._feed(answer), [None, block, 1])
            return i + 1, fed, state, blocks.write(i, fed[:, :, 0])

        start = (tf.constant(1), fed, state, blocks)
        return tf.while_loop(lambda i, *_: i < n_blocks, body, start)[-1].stack()

    def _encode_again(self, x: Tensor, lengths: Tensor, n_blocks: Tensor) -> Tensor:
        """Feeds the longer series whole for each block, where no state fits the block's length."""
        block = self.network.horizon
        x = tf.pad(x, [[0, 0], [0, n_blocks * block], [0, 0]])
        positions = tf.range(tf.shape(x)[1])[None, :]  # [1, time]
        blocks = tf.TensorArray(tf.float32, size=n_blocks, element_shape=[None, block])

        def body(i: Tensor, x: Tensor, blocks: Any) -> tuple[Any, ...]:
            ends = lengths + i * block
            answer, _ = self.network.begin(x, ends)
            fed = tf.ensure_shape(self._feed(answer), [None, block, 1])
            offsets = positions - ends[:, None]  # [batch, time]
            placed = tf.gather(fed, tf.clip_by_value(offsets, 0, block - 1), batch_dims=1)
            fresh = (offsets >= 0) & (offsets < block)
            return i + 1, tf.where(fresh[:, :, None], placed, x), blocks.write(i, fed[:, :, 0])

        start = (tf.constant(0), x, blocks)
        return tf.while_loop(lambda i, *_: i < n_blocks, body, start)[-1].stack()


class SequenceForecastGraph(ForecastGraph):
    """The graph of a sequence head, which can also tell what it would have forecast at each earlier step."""

    def signatures(self) -> dict[str, Any]:
        return {**super().signatures(), "all_steps": self.all_steps}

    @tf.function(input_signature=[SERIES, LENGTHS])
    def all_steps(self, series: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """The forecast at every output step [batch, steps, horizon], zeros after a row's own count `steps` [batch].

        Every step is scaled with the statistics of the whole input, so these forecasts are not causal.
        """
        x, lengths, scale = self._prepare(series, lengths)
        answer, steps = self.network.all_steps(*self._differences(x, lengths))
        n_steps = tf.shape(answer)[1]
        answer = answer + self._base_at_steps(x, lengths, steps, n_steps)
        flat = tf.reshape(answer, [tf.shape(x)[0], n_steps * self.network.horizon])
        forecast = tf.reshape(scale.inverse(flat), tf.shape(answer))
        own = tf.sequence_mask(steps, n_steps)  # [batch, steps]
        return {"forecast": tf.where(own[:, :, None], forecast, 0.0), "steps": steps}

    def _base_at_steps(self, x: Tensor, lengths: Tensor, steps: Tensor, n_steps: Tensor) -> Tensor:
        """What the answers at each step are differences from: [batch, steps, horizon], or 0."""
        if self.recipe.lag == 0:
            return 0.0
        stride = CONV_STRIDE if self.recipe.preset.body == "conv_gru" else 1
        # Points known at each step; the last step knows them all.
        known = lengths[:, None] - (steps[:, None] - 1 - tf.range(n_steps)[None, :]) * stride  # [batch, steps]
        positions = known[:, :, None] - phase(self.network.horizon, self.recipe.lag)[None, None, :]
        return tf.gather(x[:, :, 0], tf.clip_by_value(positions, 0, tf.shape(x)[1] - 1), batch_dims=1)


class EnsembleGraph(tf.Module):
    """The weighted mean of several graphs' forecasts, each scaled, differenced and rolled out by itself."""

    def __init__(self, members: Sequence[ForecastGraph]) -> None:
        super().__init__()
        self.members = list(members)

    def signatures(self) -> dict[str, Any]:
        """The SavedModel's signatures by name."""
        return {
            "serving_default": self.forecast,
            "forecast_ragged": self.forecast_ragged,
            "rollout": self.rollout,
        }

    @tf.function(input_signature=[SERIES])
    def forecast(self, series: Tensor) -> dict[str, Tensor]:
        """As `ForecastGraph.forecast`."""
        return {"forecast": self._mean([member.forecast(series)["forecast"] for member in self.members])}

    @tf.function(input_signature=[SERIES, LENGTHS])
    def forecast_ragged(self, series: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """As `ForecastGraph.forecast_ragged`."""
        return {"forecast": self._mean([one.forecast_ragged(series, lengths)["forecast"] for one in self.members])}

    @tf.function(input_signature=[SERIES, LENGTHS, HORIZON])
    def rollout(self, series: Tensor, lengths: Tensor, horizon: Tensor) -> dict[str, Tensor]:
        """As `ForecastGraph.rollout`."""
        return {"forecast": self._mean([one.rollout(series, lengths, horizon)["forecast"] for one in self.members])}

    def _mean(self, forecasts: Sequence[Tensor]) -> Tensor:
        shares = weight_shares([member.recipe for member in self.members])
        return tf.add_n([share * forecast for share, forecast in zip(shares, forecasts, strict=True)])


AnyGraph = ForecastGraph | EnsembleGraph


def make_graph(network: Network, recipe: Recipe) -> ForecastGraph:
    """The graph of a built network."""
    kind = SequenceForecastGraph if recipe.head == "sequence" else ForecastGraph
    return kind(network, recipe)


def make_serving_graph(recipe: Recipe, weights: Sequence[Any]) -> AnyGraph:
    """The graph to export: of the recipe's network, or of its members', with weights in the order of training."""
    members = recipe.members or (recipe,)
    graphs = []
    rest = list(weights)
    for member in members:
        network = make_serving_network(member)
        count = len(network.get_weights())
        network.set_weights(rest[:count])
        rest = rest[count:]
        graphs.append(make_graph(network, member))
    return graphs[0] if not recipe.members else EnsembleGraph(graphs)


def _last_points(series: Tensor, lengths: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Each row's last `window` points, or all where it has fewer, moved to the left."""
    width = tf.minimum(tf.shape(series)[1], window)
    first = tf.maximum(lengths - window, 0)
    positions = first[:, None] + tf.range(width)[None, :]  # [batch, width]
    positions = tf.minimum(positions, tf.shape(series)[1] - 1)
    return tf.gather(series, positions, batch_dims=1), tf.minimum(lengths, window)
