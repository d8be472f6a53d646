"""The device that networks are fitted on, and fits without TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_TENSORFLOW = "import sys; sys.modules['tensorflow'] = None\n"
ON_WAVES = """
from service.domain.recipes.resolve import resolve
from service.training.fit import fit, predict
from service.training.data.wave_data import prepare_waves

recipe = resolve({"architecture": "gru", "units": 4, "epochs": 2, "data": {"n_series": 100}})
waves = prepare_waves(recipe)
train, validation = waves.train.windows, waves.validation.windows
network, epochs = fit(recipe, train, validation, on_batch=lambda: None, on_epoch=lambda epoch: None)
assert epochs[1].val_loss < epochs[0].val_loss
assert predict(network, recipe, validation.x).shape == (20, 10)
"""
ON_SERIES = """
import math
import numpy as np
from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.recipe import PanelData
from service.training.fits import Fits
from service.training.panel_fit import PanelWindows, fit_panel
from service.training.data.panel_split import prepare_panel

rng = np.random.default_rng(0)
series = [20 + 3.0 * (np.arange(120) % 12) + rng.random(120) for _ in range(4)]
data = PanelData("series", "id", "digest", 4, 480, "MS")
request = {"architecture": ARCHITECTURE, "epochs": 1, "max_windows": 200}
recipes = make_training_plan(request, data, np.full(4, 120)).recipes
prepared = prepare_panel(series, recipes[0])
for recipe in {recipe.architecture: recipe for recipe in recipes}.values():
    fitted = fit_panel(recipe, PanelWindows(prepared), Fits(lambda: None))
    assert len(fitted.networks) == 1, recipe.architecture
    assert all(math.isfinite(epoch.val_loss) for epoch in fitted.epochs), recipe.architecture
"""


def run(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("XLA_PYTHON", "JAX_PLATFORMS"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
        env={**inherited, "CUDA_VISIBLE_DEVICES": "", **environment},
    )


# As JAX' own plugin does where the driver is too old, the GPU's memory taken, or no device visible.
BROKEN_GPU = """
from jax._src import xla_bridge

def fail():
    raise RuntimeError("the driver is too old")

xla_bridge.register_backend_factory("broken", fail, priority=400, fail_quietly=False)
"""


# The flagship has members of several architectures.
@pytest.mark.parametrize("architecture", ["mlp", pytest.param("flagship", marks=pytest.mark.exhaustive)])
def test_networks_are_fitted_without_tensorflow(architecture: str) -> None:
    on_series = f"ARCHITECTURE = {architecture!r}{ON_SERIES}"
    done = run(WITHOUT_TENSORFLOW + ON_WAVES + on_series, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr


def test_a_gpu_that_is_not_there_is_refused_and_not_replaced() -> None:
    done = run("from service.training.device import choose_device; choose_device('gpu')")
    assert done.returncode == 1
    assert "RuntimeError" in done.stderr


def test_a_gpu_that_does_not_work_is_told_and_the_processor_fits() -> None:
    code = BROKEN_GPU + (
        "from service.training.device import *; choose_device(); import jax.numpy as jnp; "
        "print(describe_device(), has_gpu(), jnp.ones(3).sum())"
    )
    done = run(code)
    assert done.stdout.split() == ["cpu", "False", "3.0"]
    assert "the driver is too old" in done.stderr
    # Whoever says that nothing but the GPU will do is told so.
    assert run(code, JAX_PLATFORMS="broken").returncode == 1


@pytest.mark.parametrize(
    ("device", "environment", "preallocates"),
    [("auto", {}, "false"), ("cpu", {"XLA_PYTHON_CLIENT_PREALLOCATE": "true"}, "true")],
    ids=["auto", "cpu"],
)
def test_without_a_gpu_the_processor_fits_and_keeps_its_precision_and_memory_is_taken_as_it_is_needed(
    device: str, environment: dict[str, str], preallocates: str
) -> None:
    code = (
        f"from service.training.device import *; choose_device({device!r}); import jax; "
        "print(describe_device(), has_gpu(), jax.config.jax_default_matmul_precision, "
        "os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'])"
    )
    assert run(code, **environment).stdout.split() == ["cpu", "False", "None", preallocates]
