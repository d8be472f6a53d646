"""The zero-shot model as it is served: signatures of a SavedModel, and ONNX graphs."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from service.engines.zero_shot import ONE_SEASON, TWO_SEASONS
from service.networks.onnx_graph import FLOAT, INT32, INT64
from service.networks.onnx_operations import OnnxOperations
from service.networks.tensorflow_operations import TensorFlowOperations
from service.networks.zero_shot import Combination, Combiner, ExpertBacktest, backtest_experts, combine

Tensor = Any

SERIES = tf.TensorSpec([None, None, 1], tf.float32, name="series")
LENGTHS = tf.TensorSpec([None], tf.int32, name="lengths")
SEASON = tf.TensorSpec([], tf.int32, name="season")
LONG_SEASON = tf.TensorSpec([], tf.int32, name="long_season")
HORIZON = tf.TensorSpec([], tf.int32, name="horizon")
# What the signatures that know of no season choose from, by the errors on each series' own past: none, and those of
# quarters, days, months, hours and weeks.
SEASONS = (1, 4, 7, 12, 24, 52)
# What a season must err less than none to be believed.
SEASON_GAIN = 0.97
DEFAULT_HORIZON = 10


def combine_series(
    xp: Any,
    combiner: Combiner,
    series: Tensor,
    lengths: Tensor,
    season: Tensor,
    long_season: Tensor | None,
    horizon: Tensor,
) -> tuple[ExpertBacktest, Combination]:
    """The model: series [batch, time], right-padded with anything, and their lengths [batch]."""
    own = xp.expand_dims(xp.arange(xp.size(series, 1)), 0) < xp.expand_dims(lengths, 1)
    series = xp.where(own, series, 0.0)
    steps = xp.arange(horizon)
    backtest = backtest_experts(xp, series, lengths, season, long_season, steps, horizon)
    return backtest, combine(xp, combiner, backtest, steps, horizon)


class ZeroShotGraph(tf.Module):
    """The model as TensorFlow computes it."""

    def __init__(self, combiner: Combiner) -> None:
        super().__init__()
        self._xp = TensorFlowOperations()
        self._combiner = combiner

    def signatures(self) -> dict[str, Any]:
        """The SavedModel's signatures by name."""
        return {
            "serving_default": self.forecast,
            "forecast_ragged": self.forecast_ragged,
            "rollout": self.rollout,
            ONE_SEASON: self.combine,
            TWO_SEASONS: self.combine_two_seasons,
        }

    @tf.function(autograph=False, input_signature=[SERIES])
    def forecast(self, series: Tensor) -> dict[str, Tensor]:
        """Series of one length [batch, time, 1] -> forecast [batch, 10]."""
        shape = tf.shape(series)
        return self.forecast_ragged(series, tf.fill([shape[0]], shape[1]))

    @tf.function(autograph=False, input_signature=[SERIES, LENGTHS])
    def forecast_ragged(self, series: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Right-padded series [batch, time, 1] and their lengths [batch] -> forecast [batch, 10]."""
        return self.rollout(series, lengths, tf.constant(DEFAULT_HORIZON))

    @tf.function(autograph=False, input_signature=[SERIES, LENGTHS, HORIZON])
    def rollout(self, series: Tensor, lengths: Tensor, horizon: Tensor) -> dict[str, Tensor]:
        """As `forecast_ragged`, of any horizon; each series with the season that errs least on its own past."""
        forecasts, errors = [], []
        for season in SEASONS:
            answer = self.combine(series, lengths, tf.constant(season), horizon)
            forecasts.append(answer["forecast"])
            least = tf.reduce_min(answer["errors"], axis=1)
            errors.append(least if season == 1 else least / SEASON_GAIN)
        chosen = tf.argmin(tf.stack(errors, axis=1), axis=1)
        return {"forecast": tf.gather(tf.stack(forecasts, axis=1), chosen, axis=1, batch_dims=1)}

    @tf.function(autograph=False, input_signature=[SERIES, LENGTHS, SEASON, HORIZON])
    def combine(self, series: Tensor, lengths: Tensor, season: Tensor, horizon: Tensor) -> dict[str, Tensor]:
        """As of `service.engines.zero_shot.ZeroShotRuntime`, with a season of at least 1."""
        xp = self._xp
        return _outputs(xp, *combine_series(xp, self._combiner, series[:, :, 0], lengths, season, None, horizon))

    @tf.function(autograph=False, input_signature=[SERIES, LENGTHS, SEASON, LONG_SEASON, HORIZON])
    def combine_two_seasons(
        self, series: Tensor, lengths: Tensor, season: Tensor, long_season: Tensor, horizon: Tensor
    ) -> dict[str, Tensor]:
        """With a longer season as well, a multiple of the other."""
        xp = self._xp
        return _outputs(xp, *combine_series(xp, self._combiner, series[:, :, 0], lengths, season, long_season, horizon))


def make_zero_shot_onnx(combiner: Combiner) -> dict[str, bytes]:
    """The ONNX graphs by the name of the engine's call; inputs and outputs are those of the signatures, without the
    last axis of series."""
    return {ONE_SEASON: _trace(combiner, has_long=False), TWO_SEASONS: _trace(combiner, has_long=True)}


def _trace(combiner: Combiner, *, has_long: bool) -> bytes:
    xp = OnnxOperations()
    lengths = xp.cast(xp.traced("lengths", "int32"), "int64")
    long_season = xp.traced("long_season", "int64") if has_long else None
    answer = combine_series(
        xp,
        combiner,
        xp.traced("series"),
        lengths,
        xp.traced("season", "int64"),
        long_season,
        xp.traced("horizon", "int64"),
    )
    number: tuple[int, Sequence[Any]] = (INT64, [])
    inputs: dict[str, Any] = {
        "series": (FLOAT, ["batch", "time"]),
        "lengths": (INT32, ["batch"]),
        "season": number,
        **({"long_season": number} if has_long else {}),
        "horizon": number,
    }
    return xp.graph.model(inputs, {name: (value.name, FLOAT) for name, value in _outputs(xp, *answer).items()})


def _outputs(xp: Any, backtest: ExpertBacktest, combination: Combination) -> dict[str, Tensor]:
    return {
        "forecast": combination.forecast,
        "unit": combination.unit,
        "weights": xp.mean(combination.weights, axis=2),
        "errors": xp.exp(backtest.log_errors) * (backtest.best * backtest.scale),
    }
