"""Results of tasks that any machine may be asked for."""

import time
from pathlib import Path

import numpy as np
import pytest

from service.datasets import shared_results
from service.datasets.shared_results import SharedResults, open_results
from service.datasets.task_results import TaskResults
from service.storage.object_storage import ObjectStorage


def test_a_result_that_one_machine_keeps_another_finds(s3_url: str, tmp_path: Path) -> None:
    one, two = (open_results(s3_url, tmp_path / name) for name in ("one", "two"))
    job_id = one.keep("forecast", {"values": np.array([1.5, 2.5])})
    assert two.find("forecast", job_id) == b'{"values":[1.5,2.5]}'
    assert two.find("anomalies", job_id) is None
    for other in ("0" * 32, "", "../secrets", f"{job_id}/.."):
        assert two.find("forecast", other) is None


def test_old_results_go(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = open_results(s3_url, tmp_path)
    assert isinstance(results, SharedResults)
    old = results.keep("forecast", 1)
    with monkeypatch.context() as patched:
        # An object's time is of whole seconds.
        patched.setattr(shared_results, "KEPT_SECONDS", 3.0)
        time.sleep(4.1)
        new = results.keep("forecast", 2)
    assert results.find("forecast", old) is None
    assert results.find("forecast", new) == b"2"
    assert len(ObjectStorage(s3_url).list_objects(".results")) == 1


def test_where_models_lie_in_a_folder_results_do_too(tmp_path: Path) -> None:
    assert type(open_results(tmp_path, tmp_path / "results")) is TaskResults
