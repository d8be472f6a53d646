"""The zero-shot model: the same numbers from every library, alone and in a batch, in any unit; and sensible weights."""

from functools import cache
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain.seasons import Seasons
from service.engines.zero_shot import ONE_SEASON, TWO_SEASONS
from service.networks.experts import EXPERTS
from service.networks.operations import NumPyOperations
from service.networks.zero_shot import (
    N_FEATURES,
    Combination,
    Combiner,
    ExpertBacktest,
    backtest_experts,
    combine,
    flatten,
    to_combiner,
)
from service.training.export.zero_shot_graphs import (
    ZeroShotGraph,
    combine_series,
    make_zero_shot_onnx,
)

Array = NDArray[np.float32]
XP = NumPyOperations()


def make_combiner(seed: int | None = None) -> Combiner:
    """A combiner whose layers say nothing, or with a seed something."""
    rng = np.random.default_rng(seed or 0)
    size = 0.0 if seed is None else 0.3

    def weights(*shape: int) -> Array:
        drawn: Array = (size * rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)
        return drawn

    n_answers = 2 * len(EXPERTS) + 3
    layers = [(weights(N_FEATURES, 16), weights(16)), (weights(16, n_answers), weights(n_answers))]
    return Combiner(
        layers,
        np.zeros(N_FEATURES, np.float32),
        np.ones(N_FEATURES, np.float32),
        np.array(4, np.float32),
        weights(len(EXPERTS)),
    )


COMBINER = make_combiner(5)
GRAPH = ZeroShotGraph(COMBINER)


@cache
def session(call: str) -> onnxruntime.InferenceSession:
    """What runs an ONNX graph; made once, when the first test asks for it."""
    return onnxruntime.InferenceSession(make_zero_shot_onnx(COMBINER)[call])


def pack(rows: list[NDArray[Any]]) -> tuple[Array, NDArray[np.int64]]:
    lengths = np.array([len(row) for row in rows])
    series = np.full((len(rows), lengths.max()), np.nan, np.float32)
    for target, row in zip(series, rows, strict=True):
        target[: len(row)] = row
    return series, lengths


def by_numpy(
    rows: list[NDArray[Any]], seasons: Seasons, horizon: int, combiner: Combiner = COMBINER
) -> tuple[ExpertBacktest, Combination]:
    series, lengths = pack(rows)
    long_season = np.int64(seasons.long) if seasons.long else None
    return combine_series(XP, combiner, series, lengths, np.int64(seasons.short), long_season, np.int64(horizon))


def draw(seed: int, season: int, n: int = 6, longest: int = 90) -> list[NDArray[Any]]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, n)
    time = np.arange(longest)
    return [
        10 + np.sin(2 * np.pi * time / max(season, 9))[:k] * rng.uniform(0, 3) + rng.normal(size=k) for k in lengths
    ]


@pytest.mark.parametrize("seasons", [Seasons(1), Seasons(4), Seasons(12), Seasons(6, 42)])
def test_every_library_gives_the_same_numbers(seasons: Seasons) -> None:
    rows, horizon = draw(seasons.short, seasons.short), 9
    backtest, expected = by_numpy(rows, seasons, horizon)
    series, lengths = pack(rows)
    inputs: dict[str, Any] = {"series": series, "lengths": lengths.astype(np.int32)}
    numbers = {"season": seasons.short, "horizon": horizon, **({"long_season": seasons.long} if seasons.long else {})}
    call = TWO_SEASONS if seasons.long else ONE_SEASON
    names = ["forecast", "unit", "weights", "errors"]
    by_onnx = session(call).run(names, inputs | {name: np.array(value) for name, value in numbers.items()})
    signature = GRAPH.signatures()[call]
    answer = signature(
        series=tf.constant(series[:, :, None]),
        lengths=tf.constant(lengths, tf.int32),
        **{name: tf.constant(value, tf.int32) for name, value in numbers.items()},
    )
    wanted = [
        expected.forecast,
        expected.unit,
        expected.weights.mean(axis=2),
        np.exp(backtest.log_errors) * backtest.best * backtest.scale,
    ]
    for name, want, onnx in zip(names, wanted, by_onnx, strict=True):
        np.testing.assert_allclose(onnx, want, rtol=2e-3, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(answer[name].numpy(), want, rtol=2e-3, atol=1e-4, err_msg=name)


@given(st.integers(0, 10_000), st.sampled_from([Seasons(1), Seasons(7), Seasons(12), Seasons(4, 12)]))
def test_a_series_alone_and_in_a_batch_gets_the_same_forecast(seed: int, seasons: Seasons) -> None:
    rows = draw(seed, seasons.short)
    together = by_numpy(rows, seasons, 8)[1]
    for i, row in enumerate(rows):
        alone = by_numpy([row], seasons, 8)[1]
        np.testing.assert_allclose(alone.forecast[0], together.forecast[i], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(alone.unit[0], together.unit[i], rtol=1e-2, atol=1e-3)


@given(st.integers(0, 10_000), st.integers(-12, 12))
def test_forecasts_follow_the_unit_of_the_series(seed: int, exponent: int) -> None:
    rows = draw(seed, 12, n=2)
    # A power of two rounds nothing.
    unit = 2.0**exponent
    one = by_numpy(rows, Seasons(12), 5)[1]
    other = by_numpy([row * unit for row in rows], Seasons(12), 5)[1]
    np.testing.assert_allclose(other.forecast, one.forecast * unit, rtol=1e-4)
    np.testing.assert_allclose(other.unit, one.unit * unit, rtol=1e-3)


@given(
    st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40), min_size=1, max_size=4),
    st.sampled_from([Seasons(1), Seasons(4), Seasons(12), Seasons(7, 28)]),
    st.integers(1, 30),
)
def test_whatever_is_asked_the_answer_is_finite_and_weights_sum_to_one(
    rows: list[list[float]], seasons: Seasons, horizon: int
) -> None:
    _, combination = by_numpy([np.array(row) for row in rows], seasons, horizon)
    assert combination.forecast.shape == (len(rows), horizon)
    assert np.isfinite(combination.forecast).all()
    assert np.isfinite(combination.unit).all()
    # Of values near the smallest of 32 bits nothing is left; the service takes the unit off before.
    assert (combination.unit >= 0).all()
    np.testing.assert_allclose(combination.weights.sum(axis=1), 1.0, rtol=1e-5)


def test_experts_that_err_less_on_the_past_weigh_more() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(96)
    pattern = np.tile(rng.normal(size=12) * 5, 8)
    backtest, combination = by_numpy(
        [50 + pattern + 0.1 * rng.normal(size=96), 50 + 2.0 * time], Seasons(12), 12, make_combiner()
    )
    weights = combination.weights.mean(axis=2)
    names = list(EXPERTS)
    assert weights[0, names.index("smoothing_without_season")] < 0.01
    assert weights[1, names.index("mean")] < 0.01
    np.testing.assert_array_equal(np.argsort(weights[0, :10]), np.argsort(-backtest.log_errors[0, :10]))


def test_trials_read_nothing_of_what_comes_after_them() -> None:
    # An outlier at the end is not known at the earlier points, so their forecasts don't change.
    rows = [np.arange(60.0), np.concatenate([np.arange(59.0), [1000.0]])]
    backtest, _ = by_numpy(rows, Seasons(1), 10)
    seen = [backtest_experts(XP, *pack([row[:50]]), np.int64(1), None, np.arange(10), np.int64(10)) for row in rows]
    np.testing.assert_allclose(seen[0].forecasts * seen[0].scale[:, None], seen[1].forecasts * seen[1].scale[:, None])
    assert backtest.best[1, 0] * backtest.scale[1, 0] > backtest.best[0, 0] * backtest.scale[0, 0]


def test_a_repeated_season_and_a_constant_are_repeated() -> None:
    season = np.array([3.0, 5.0, 9.0, 4.0])
    _, combination = by_numpy([np.tile(season, 8), np.full(32, 7.0)], Seasons(4), 8)
    np.testing.assert_allclose(combination.forecast[0], np.tile(season, 2), rtol=1e-4)
    np.testing.assert_allclose(combination.forecast[1], 7.0, rtol=1e-5)
    assert (combination.unit[0] < 0.01).all()


def test_a_gate_is_kept_as_arrays() -> None:
    again = to_combiner(flatten(COMBINER))
    steps = np.arange(5)
    backtest = backtest_experts(XP, *pack([np.arange(30.0)]), np.int64(4), None, steps, np.int64(5))
    one, other = (combine(XP, combiner, backtest, steps, np.int64(5)) for combiner in (COMBINER, again))
    np.testing.assert_array_equal(one.forecast, other.forecast)


def test_signatures_without_a_season_choose_one_for_each_series() -> None:
    pattern = np.random.default_rng(1).normal(size=12) * 5
    rows = [np.tile(pattern, 6) + 50, 2.0 * np.arange(72) + 3]
    series = tf.constant(np.stack(rows)[:, :, None], tf.float32)
    answer = GRAPH.forecast(series)["forecast"].numpy()
    assert answer.shape == (2, 10)
    np.testing.assert_allclose(answer[0], (pattern + 50)[:10], atol=0.5)
    rolled = GRAPH.rollout(series, tf.constant([72, 72]), tf.constant(20))["forecast"].numpy()
    assert rolled.shape == (2, 20)
    np.testing.assert_allclose(rolled[0, :10], (pattern + 50)[:10], atol=0.5)
