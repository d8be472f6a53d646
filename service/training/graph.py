"""The graph that is served: a network's forecasts in the user's own units, for right-padded series of any lengths."""

from dataclasses import replace
from typing import Any

import tensorflow as tf

from service.domain.recipe import Recipe
from service.domain.scaling import ABSOLUTE_FLOOR, RELATIVE_FLOOR
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
    """A network with its scaling, as signatures of a SavedModel. Statistics are frozen through a roll-out."""

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
        x, lengths, shift, scale = self._prepare(series, lengths)
        forecast, _ = self.network.begin(x, lengths)
        return {"forecast": _inverse(forecast, shift, scale)}

    @tf.function(input_signature=[SERIES, LENGTHS, HORIZON])
    def rollout(self, series: Tensor, lengths: Tensor, horizon: Tensor) -> dict[str, Tensor]:
        """As `forecast_ragged`, with whole blocks fed back until `horizon` steps are there: [batch, horizon]."""
        x, lengths, shift, scale = self._prepare(series, lengths)
        block = self.network.horizon
        n_blocks = (horizon + block - 1) // block
        roll = self._resume if self.network.body.can_resume(block) else self._encode_again
        blocks = roll(x, lengths, n_blocks)  # [blocks, batch, block]
        values = tf.reshape(tf.transpose(blocks, [1, 0, 2]), [tf.shape(x)[0], n_blocks * block])
        return {"forecast": _inverse(values[:, :horizon], shift, scale)}

    def _prepare(self, series: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """What the network reads, its lengths, and shift and scale [batch, 1] (None where nothing is scaled)."""
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
        x = tf.where(own[:, :, None], series, 0.0)
        if recipe.scaling == "none":
            return x, lengths, None, None
        shift, scale = _measure(x[:, :, 0], own)
        scaled = tf.cast((tf.cast(x, tf.float64) - shift[:, :, None]) / scale[:, :, None], tf.float32)
        return (
            tf.where(own[:, :, None], scaled, 0.0),
            lengths,
            tf.cast(shift, tf.float32),
            tf.cast(scale, tf.float32),
        )

    def _resume(self, x: Tensor, lengths: Tensor, n_blocks: Tensor) -> Tensor:
        """Goes on from the state after the series: n + h steps of work."""
        block = self.network.horizon
        forecast, state = self.network.begin(x, lengths)
        forecast = tf.ensure_shape(forecast, [None, block])
        blocks = tf.TensorArray(tf.float32, size=n_blocks, element_shape=[None, block]).write(0, forecast)

        def body(i: Tensor, forecast: Tensor, state: list[Tensor], blocks: Any) -> tuple[Any, ...]:
            forecast, state = self.network.resume(forecast[:, :, None], state)
            forecast = tf.ensure_shape(forecast, [None, block])
            return i + 1, forecast, state, blocks.write(i, forecast)

        start = (tf.constant(1), forecast, state, blocks)
        return tf.while_loop(lambda i, *_: i < n_blocks, body, start)[-1].stack()

    def _encode_again(self, x: Tensor, lengths: Tensor, n_blocks: Tensor) -> Tensor:
        """Feeds the longer series whole for each block, where no state fits the block's length."""
        block = self.network.horizon
        x = tf.pad(x, [[0, 0], [0, n_blocks * block], [0, 0]])
        positions = tf.range(tf.shape(x)[1])[None, :]  # [1, time]
        blocks = tf.TensorArray(tf.float32, size=n_blocks, element_shape=[None, block])

        def body(i: Tensor, x: Tensor, blocks: Any) -> tuple[Any, ...]:
            ends = lengths + i * block
            forecast, _ = self.network.begin(x, ends)
            forecast = tf.ensure_shape(forecast, [None, block])
            offsets = positions - ends[:, None]  # [batch, time]
            placed = tf.gather(forecast, tf.clip_by_value(offsets, 0, block - 1), batch_dims=1)
            fresh = (offsets >= 0) & (offsets < block)
            return i + 1, tf.where(fresh[:, :, None], placed[:, :, None], x), blocks.write(i, forecast)

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
        x, lengths, shift, scale = self._prepare(series, lengths)
        forecast, steps = self.network.all_steps(x, lengths)
        if shift is not None and scale is not None:
            forecast = forecast * scale[:, :, None] + shift[:, :, None]
        own = tf.sequence_mask(steps, tf.shape(forecast)[1])  # [batch, steps]
        return {"forecast": tf.where(own[:, :, None], forecast, 0.0), "steps": steps}


def make_graph(network: Network, recipe: Recipe) -> ForecastGraph:
    """The graph of a built network."""
    kind = SequenceForecastGraph if recipe.head == "sequence" else ForecastGraph
    return kind(network, recipe)


def _last_points(series: Tensor, lengths: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Each row's last `window` points, or all where it has fewer, moved to the left."""
    width = tf.minimum(tf.shape(series)[1], window)
    first = tf.maximum(lengths - window, 0)
    positions = first[:, None] + tf.range(width)[None, :]  # [batch, width]
    positions = tf.minimum(positions, tf.shape(series)[1] - 1)
    return tf.gather(series, positions, batch_dims=1), tf.minimum(lengths, window)


def _measure(values: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and floored standard deviation of each row's own points, as `service.domain.scaling.measure`.

    In float64: squares of large float32 values would overflow, small spreads on large levels would vanish.

    Args:
        values: [batch, time], zeros where `own` [batch, time] is false.

    Returns:
        Shift and scale, float64 [batch, 1].
    """
    values = tf.cast(values, tf.float64)
    weights = tf.cast(own, tf.float64)
    count = tf.reduce_sum(weights, axis=1, keepdims=True)
    mean = tf.reduce_sum(values, axis=1, keepdims=True) / count
    variance = tf.reduce_sum(tf.square(values - mean) * weights, axis=1, keepdims=True) / count
    largest = tf.reduce_max(tf.abs(values), axis=1, keepdims=True)
    floor = tf.maximum(RELATIVE_FLOOR * largest, tf.constant(ABSOLUTE_FLOOR, tf.float64))
    return mean, tf.maximum(tf.sqrt(variance), floor)


def _inverse(forecast: Tensor, shift: Tensor | None, scale: Tensor | None) -> Tensor:
    return forecast if shift is None else forecast * scale + shift
