"""What the training runs on: chosen here, before JAX computes anything."""

import logging
import os
from typing import Any, Literal

import jax

logger = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "gpu"]

# JAX makes its flags' attributes at run time, so they have no types.
_flags: Any = jax.config
_PLATFORMS = {"cpu": "cpu", "gpu": "cuda,cpu"}


def choose_device(device: Device = "auto") -> None:
    """Settles what JAX computes on; to be called before its first computation.

    Args:
        device: `auto` is a GPU where JAX has one that works, else the processor; so is what `JAX_PLATFORMS` says, if it
            is set.

    Raises:
        RuntimeError: a GPU was asked for, and JAX has none, or it doesn't work.
    """
    # By default the first process would take three quarters of a GPU's memory, and the next would find none.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if device != "auto":
        _flags.update("jax_platforms", _PLATFORMS[device])
    elif not _flags.jax_platforms:
        _leave_broken_gpu()
    if not has_gpu():
        if device == "gpu":
            raise RuntimeError("JAX has no GPU here: was it installed with CUDA, and does nvidia-smi show one?")
        return
    if _flags.jax_default_matmul_precision is None:
        # Else products keep 10 bits of a factor (TF32): too few for the Theta method, and another model than a CPU's.
        _flags.update("jax_default_matmul_precision", "highest")


def describe_device() -> str:
    """The device's name, as JAX tells it."""
    return str(jax.devices()[0].device_kind)


def has_gpu() -> bool:
    """Whether networks are fitted on a GPU."""
    return bool(jax.default_backend() == "gpu")


def _leave_broken_gpu() -> None:
    """Settles on the processor where there is a GPU that can't be used: each fit would fail, and every job with it."""
    try:
        jax.default_backend()
    except RuntimeError as error:
        logger.warning("there is a GPU that JAX can't use, so the processor fits networks: %s", error)
        _flags.update("jax_platforms", _PLATFORMS["cpu"])
