"""The exporting process as the worker sees it."""

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from service.domain.recipes.resolve import resolve
from service.errors import ExportMismatch, StorageUnavailable, TooMuchMemory, TrainingFailed
from service.storage.disk_errors import find_disk_errno
from service.training.export.client import Exporter
from tests.control_group import memory_limit
from tests.networks.samples import calm

RECIPE = resolve({"architecture": "linear", "scaling": "standard"})
# Nothing that a network forecasts.
PROOFS = [(np.ones((1, 50), np.float32), np.full((1, 10), 7, np.float32))]


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exporter]:
    exporter = Exporter()
    exporter.start()
    yield exporter
    exporter.close()


@contextmanager
def full(pid: int) -> Iterator[None]:
    """As if the disk were full: a process can write no file of more than a few bytes."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def test_a_store_that_takes_no_more_is_told_and_the_process_goes_on(exporter: Exporter, tmp_path: Path) -> None:
    weights = calm(RECIPE).get_weights()
    process = exporter._process
    assert process is not None
    with full(process.pid), pytest.raises(StorageUnavailable, match="model store holds no larger files"):
        exporter.export(RECIPE, weights, PROOFS, tmp_path / "full")
    with pytest.raises(ExportMismatch):
        exporter.export(RECIPE, weights, PROOFS, tmp_path / "free")
    assert exporter._process is process


def test_a_full_disk_of_temporary_files_is_told(exporter: Exporter, tmp_path: Path) -> None:
    with full(0), pytest.raises(StorageUnavailable, match="folder of temporary files"):
        exporter.export(RECIPE, calm(RECIPE).get_weights(), PROOFS, tmp_path / "full")


def test_memory_that_runs_out_is_told_and_another_process_takes_over(exporter: Exporter, tmp_path: Path) -> None:
    weights = calm(RECIPE).get_weights()
    exporter.start()
    process = exporter._process
    assert process is not None
    # What it holds already is not counted.
    with memory_limit(4 * 2**20, process.pid), pytest.raises(TooMuchMemory, match=r"Memory ran out.*OUTFIELDER_JOBS"):
        exporter.export(RECIPE, weights, PROOFS, tmp_path / "ended")
    with pytest.raises(ExportMismatch):
        exporter.export(RECIPE, weights, PROOFS, tmp_path / "after")


@contextmanager
def killing(exporter: Exporter, times: int) -> Iterator[list[int]]:
    """Kills the exporter's process, and those that take its place, so many times."""
    killed: list[int] = []
    stop = threading.Event()

    def kill() -> None:
        while len(killed) < times and not stop.wait(0.01):
            process = exporter._process
            if process is not None and process.pid not in killed:
                killed.append(process.pid)
                process.kill()

    # The export starts the first one: killed before that, it would be replaced and not missed.
    exporter.close()
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


def test_an_export_whose_process_is_killed_is_done_by_another(exporter: Exporter, tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    with killing(exporter, 2) as killed, pytest.raises(ExportMismatch):
        exporter.export(RECIPE, calm(RECIPE).get_weights(), PROOFS, tmp_path)
    assert len(killed) == 2


def test_an_export_that_takes_its_process_down_each_time_fails(exporter: Exporter, tmp_path: Path) -> None:
    # A process that is killed before it is asked counts for none.
    with killing(exporter, 100), pytest.raises(TrainingFailed, match="ended 3 times"):
        exporter.export(RECIPE, calm(RECIPE).get_weights(), PROOFS, tmp_path)


def test_errors_of_a_disk_are_known_by_their_words() -> None:
    assert find_disk_errno("/data/x/saved_model.pb; No space left on device") is not None
    assert find_disk_errno("/data/x/saved_model.pb; Read-only file system") is not None
    assert find_disk_errno("Matrix size-incompatible: In[0]: [1,50], In[1]: [49,10]") is None
