"""Set before anything imports TensorFlow or JAX."""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# Two processes share the cores: NumPy's threads would spin while they wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What the tests of one process make once and share. Not with another process: JAX writes a program in place, and the
# other might read half of it.
SHARED = Path(tempfile.mkdtemp(prefix="outfielder-tests-"))
atexit.register(shutil.rmtree, SHARED, ignore_errors=True)
# A program that several tests train with is compiled once.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(SHARED / "programs")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")
if PROFILE == "quick":
    # What runs for milliseconds is compiled for seconds: programs that are optimised less halve a test. `make test-all`
    # compiles as the service does, and so do processes that are started as a user starts them.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")

# Tests start hundreds of processes, each of which would compile the service's modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Hypothesis' own limit of 200 ms for an example would fail tests for what else the machine does.
settings.register_profile("quick", deadline=None, max_examples=25)
# For `make test-all`.
settings.register_profile("exhaustive", deadline=None, max_examples=100)
# For `make fuzz`.
settings.register_profile("fuzz", deadline=None, max_examples=2000)
settings.load_profile(PROFILE)


def pytest_unconfigure() -> None:
    # At its end a process of pytest-xdist leaves no time for more.
    shutil.rmtree(SHARED, ignore_errors=True)


# Of the modules that take long all go first: none is left to one process at the end.
LONG = ("tests/end_to_end/", "tests/training/", "tests/abuse/", "tests/test_cli.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_collection_finish() -> None:
    # Keras collects garbage before every fit. Among the millions of objects of its own libraries there is none.
    gc.collect()
    gc.freeze()
