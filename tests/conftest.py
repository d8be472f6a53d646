"""Set before anything imports TensorFlow or JAX."""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.end_to_end.processes import Processes
from tests.postgres import NoPostgres, PostgresServer
from tests.s3 import s3 as s3
from tests.s3 import s3_server as s3_server
from tests.s3 import s3_url as s3_url

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


# The README goes first: it shows all models of a service that is new.
README = "tests/end_to_end/test_readme.py"
# These share one service, API and worker.
OF_THE_SERVICE = (
    README,
    "tests/end_to_end/test_service.py",
    "tests/end_to_end/test_resumed_jobs.py",
    "tests/page/",
    "tests/test_cli.py",
    "tests/cli/",
    "tests/examples/test_scripts.py",
    "tests/examples/test_notebook.py",
)
# Of the modules that take long all go first: none is left to one process at the end.
LONG = ("tests/end_to_end/", "tests/training/", "tests/abuse/")
# These start processes of their own, compute nothing of what others share, and wait: they go last.
WAITING = (
    "tests/contract/test_add_an_architecture.py",
    "tests/training/export/test_client.py",
    "tests/training/test_device.py",
    "tests/datasets/",
    "tests/test_",
    "tests/jobs/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = [(README, 0), *((name, 1) for name in OF_THE_SERVICE), *((name, 4) for name in WAITING)]
    ranks += [*((name, 2) for name in LONG), ("", 3)]
    items.sort(key=lambda item: next(rank for name, rank in ranks if item.nodeid.startswith(name)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return ByModule(config, log)


class ByModule(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A module's tests stay in one process, for what they share; so do all that share the service."""

    def _split_scope(self, nodeid: str) -> str:
        return "service" if nodeid.startswith(OF_THE_SERVICE) else nodeid.partition("::")[0]

    def _assign_work_unit(self, node: Any) -> None:
        # Beside two processes that compute, a third begins at the end, with what waits.
        if node.gateway.id not in ("gw0", "gw1"):
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """`make run` without the installation, and with the first starter model alone: give models names of their own."""
    processes = Processes(tmp_path_factory.mktemp("service"), OUTFIELDER_STARTER_MODELS="linear")
    processes.start("up")
    processes.wait_until(lambda: "All models are ready" in processes.logs(), "the introduction")
    yield processes
    processes.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL. Where it can't be run, its tests are skipped, but in CI they fail."""
    try:
        server = PostgresServer()
    except NoPostgres as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL can be run here: {error}")
    server.start()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The URL of an empty database of the test's own."""
    return postgres.make_database()


def pytest_collection_finish() -> None:
    # Among the millions of objects of the libraries there is no garbage to look for.
    gc.collect()
    gc.freeze()
