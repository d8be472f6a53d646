"""Every preset's SavedModel against NumPy, which computes the network that it was made from, and the fast engine's
graphs against the SavedModel's."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from service.domain.recipes.presets import PRESETS
from service.errors import ExportMismatch
from service.training.export.process import Proof, prove
from tests.conftest import PROFILE
from tests.training.exports import Exported, assert_same, compare_engines_in_batches, waves

EXHAUSTIVE = pytest.mark.exhaustive
# Of these another preset has the backbone and the cell, or all layers and the base too.
ALIKE = ("simple_rnn", "vector_rnn", "deep_rnn", "ridge", "mlp", "theta")
# test_fine_tuning exports it, proved by both engines.
ELSEWHERE = ("zero_shot",)
UNSCALED = ("linear", "gru")
SELDOM = (*ALIKE, *ELSEWHERE, *UNSCALED)
# A preset's own head stands for the others, and all but these are scaled.
EXPORTS = [
    *(pytest.param(name, "standard", marks=EXHAUSTIVE if name in SELDOM else ()) for name in PRESETS),
    *(pytest.param(name, "none", marks=() if name in UNSCALED else EXHAUSTIVE) for name in PRESETS),
]
ONE_STEP = [
    {"architecture": architecture, "head": "one_step"}
    for architecture in ("naive", "linear", "lstm", "gru", "ln_rnn", "conv_gru", "wavenet")
]
RESUMED = ("conv_gru",)
# Of each kind of body one has several layers: lstm and gru, theta_mlp; and in test_onnx_export wavenet.
ONE_LAYER = () if PROFILE == "exhaustive" else ("sequence_rnn", "ln_rnn", "conv_gru", "wavenet", "patchtst", "flagship")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes each export once for all tests of this file."""

    @cache
    def make(*items: tuple[str, Any]) -> Exported:
        return Exported(tmp_path_factory.mktemp("export") / "model", **dict(items))

    def of_request(**request: Any) -> Exported:
        layers = {"layers": 1} if request["architecture"] in ONE_LAYER else {}
        return make(*sorted((layers | request).items()))

    return of_request


def placed(model: Exported, n: int, time: int, seed: int = 0) -> Any:
    """Series as the model expects them: near zero when it does not scale, else of any magnitude."""
    moved = {} if model.recipe.scaling == "none" else {"scale": 4e5, "level": 2e6}
    return waves(n, time, seed, **moved)


@pytest.mark.parametrize(("architecture", "scaling"), EXPORTS)
def test_served_values_are_the_networks_alone_and_in_any_batch(exported: Any, architecture: str, scaling: str) -> None:
    model = exported(architecture=architecture, scaling=scaling)
    lengths = [length for length in (model.recipe.min_length, 20, 50, 73, 200) if length >= model.recipe.min_length]
    everything = []
    for length in lengths:
        series = placed(model, 64, length, seed=length)
        expected = np.array([model.expected(row) for row in series[:4]])
        for batch in (1, 3, 64):
            served = model.forecast(series[:batch])
            for row in range(min(batch, 4)):
                assert_same(served[row], expected[row], series[row])
        everything += [(row, value) for row, value in zip(series[:4], expected, strict=True)]
    order = np.random.default_rng(0).permutation(len(everything))
    rows = [everything[i][0] for i in order]
    for padding in (np.nan, np.inf, 1e30):
        for i, served in zip(order, model.ragged(rows, padding=padding), strict=True):
            assert_same(served, everything[i][1], everything[i][0])


@pytest.mark.parametrize(("architecture", "scaling"), EXPORTS)
def test_the_fast_engine_gives_the_same_numbers(exported: Any, architecture: str, scaling: str) -> None:
    model = exported(architecture=architecture, scaling=scaling)
    compare_engines_in_batches(model.signatures, model.engine, model.recipe)


@pytest.mark.parametrize(
    "request_",
    [
        *(
            pytest.param({"architecture": name, "scaling": "standard"}, marks=EXHAUSTIVE if name in SELDOM else ())
            for name in PRESETS
        ),
        *(
            pytest.param({"architecture": name, "scaling": "none"}, marks=() if name in UNSCALED else EXHAUSTIVE)
            for name in PRESETS
        ),
        *(
            pytest.param(
                {**request, "scaling": "standard"}, marks=() if request["architecture"] in RESUMED else EXHAUSTIVE
            )
            for request in ONE_STEP
        ),
    ],
    ids=lambda request: "-".join(request.values()),
)
def test_a_roll_out_is_the_loop_that_feeds_everything_again(exported: Any, request_: dict[str, str]) -> None:
    model = exported(**request_)
    rows = [
        placed(model, 1, length, seed=length)[0]
        for length in (model.recipe.min_length, 33, 50, 73, 200)
        if length >= model.recipe.min_length
    ]
    # Ten blocks; of single steps fewer, for each of which NumPy computes the whole series again.
    few = 40 if PROFILE == "exhaustive" else 20
    steps = 100 if model.recipe.horizon > 1 else few
    served = model.ragged(rows, horizon=steps)
    assert served.shape == (len(rows), steps)
    for row, values in zip(rows, served, strict=True):
        assert_same(values, model.expected(row, steps), row, share=1e-4)
    for horizon in (1, 7, 10, 11):
        assert_same(model.ragged(rows, horizon=horizon), served[:, :horizon], np.concatenate(rows), share=1e-5)
    assert_same(served[:, : model.recipe.horizon], model.ragged(rows), np.concatenate(rows), share=1e-5)


@EXHAUSTIVE  # Its roll-out by one-step blocks is among those above.
@pytest.mark.parametrize("horizon", [1, 3, 7])
def test_conv_gru_feeds_back_blocks_of_odd_length_too(exported: Any, horizon: int) -> None:
    model = exported(architecture="conv_gru", horizon=horizon, scaling="standard")
    rows = [placed(model, 1, length)[0] for length in (4, 5, 50, 61)]
    for row, values in zip(rows, model.ragged(rows, horizon=40), strict=True):
        assert_same(values, model.expected(row, 40), row, share=1e-4)


@pytest.mark.parametrize(
    ("architecture", "scaling"),
    [
        # The exports that other tests have made; of the rest the other scaling says nothing new.
        pytest.param(name, scaling, marks=() if (name in UNSCALED) == (scaling == "none") else EXHAUSTIVE)
        for name, preset in PRESETS.items()
        for scaling in ("none", "standard")
        if preset.head == "sequence"
    ],
)
def test_all_steps_end_with_the_forecast_and_hold_nothing_of_padding(
    exported: Any, architecture: str, scaling: str
) -> None:
    model = exported(architecture=architecture, scaling=scaling)
    rows = [placed(model, 1, length)[0] for length in (9, 50, 36)]
    padded = np.full((3, 50, 1), np.nan, np.float32)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row), 0] = row
    answer = model.signatures["all_steps"](
        series=tf.constant(padded), lengths=tf.constant([len(row) for row in rows], tf.int32)
    )
    forecast, steps = answer["forecast"].numpy(), answer["steps"].numpy()
    strided = architecture == "conv_gru"
    assert steps.tolist() == [(len(row) - 4) // 2 + 1 if strided else len(row) for row in rows]
    for row, values, count in zip(rows, forecast, steps, strict=True):
        assert_same(values[count - 1], model.expected(row), row)
        assert np.all(values[count:] == 0)
    if scaling == "none" and not strided:
        assert_same(forecast[1, 20], model.expected(rows[1][:21]), rows[1])


@pytest.mark.parametrize("architecture", ["lstm", pytest.param("linear", marks=EXHAUSTIVE), "wavenet", "naive"])
@pytest.mark.parametrize("value", [0.0, 5.0, -3e30, 1e-30])
def test_a_constant_series_goes_on_near_its_level(exported: Any, architecture: str, value: float) -> None:
    model = exported(architecture=architecture, scaling="standard")
    forecast = model.forecast(np.full((1, 60), value, np.float32))
    assert np.allclose(forecast, value, rtol=1e-4, atol=1e-29)


def test_extreme_magnitudes_neither_overflow_nor_vanish(exported: Any) -> None:
    model = exported(architecture="lstm", scaling="standard")
    base = waves(1, 60)[0]
    expected = model.forecast(base[None])[0]
    for factor in (1e-25, 1e-3, 1e20, 1e37):
        served = model.forecast((base.astype(np.float64) * factor).astype(np.float32)[None])[0]
        assert np.allclose(served / factor, expected, rtol=1e-3, atol=1e-4)


def test_one_gigantic_series_does_not_touch_its_neighbours(exported: Any) -> None:
    model = exported(architecture="gru", scaling="none")
    rows = [waves(1, 50)[0], np.full(50, 3e38, np.float32), waves(1, 41, seed=1)[0]]
    served = model.ragged(rows)
    assert_same(served[0], model.expected(rows[0]), rows[0])
    assert_same(served[2], model.expected(rows[2]), rows[2])


def test_too_short_a_series_is_refused_by_the_saved_model_itself(exported: Any) -> None:
    model = exported(architecture="linear", scaling="none")
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 50 points"):
        model.forecast(waves(1, 49))


def test_an_export_with_other_numbers_than_the_trained_networks_is_refused(exported: Any) -> None:
    model = exported(architecture="gru", scaling="none")
    series = waves(4, 50)
    forecasts = np.array([model.expected(row) for row in series], dtype=np.float32)
    assert prove(model.loaded, [Proof(series, forecasts)]) <= 1e-5
    with pytest.raises(ExportMismatch, match="not published"):
        prove(model.loaded, [Proof(series, forecasts * np.float32(1.001))])
    with pytest.raises(ExportMismatch):
        prove(model.loaded, [Proof(series, forecasts * np.float32(np.nan))])
