"""Set before anything imports TensorFlow or JAX."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

# What the tests of one process make once and share. Not with another process: JAX writes a program in place, and the
# other might read half of it.
SHARED = Path(tempfile.mkdtemp(prefix="outfielder-tests-"))
atexit.register(shutil.rmtree, SHARED, ignore_errors=True)
# A program that several tests train with is compiled once.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(SHARED / "programs")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Hypothesis' own limit of 200 ms for an example would fail tests for what else the machine does.
settings.register_profile("quick", deadline=None, max_examples=25)
# For `make test-all`.
settings.register_profile("exhaustive", deadline=None, max_examples=100)
# For `make fuzz`.
settings.register_profile("fuzz", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_unconfigure() -> None:
    # At its end a process of pytest-xdist leaves no time for more.
    shutil.rmtree(SHARED, ignore_errors=True)


# Of the modules that take long all go first: none is left to one process at the end.
LONG = ("tests/end_to_end/", "tests/training/", "tests/abuse/", "tests/test_cli.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
