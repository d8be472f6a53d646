"""A backtest as a job of a real worker, between two trainings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.end_to_end.processes import Processes

QUICK: dict[str, Any] = {"architecture": "linear", "scaling": "standard", "epochs": 2, "data": {"n_series": 200}}
RNG = np.random.default_rng(0)
SERIES = {name: (np.sin(np.arange(90) * 0.3) + 0.1 * RNG.standard_normal(90)).round(4).tolist() for name in "abc"}


def test_a_job_scores_as_the_request_would_have_and_the_worker_goes_on_training(tmp_path: Path) -> None:
    service = Processes(tmp_path, OUTFIELDER_BACKTEST_INLINE_POINTS="90")
    try:
        service.start("serve")
        service.start("worker")
        service.wait_until_ready()
        service.wait_for_job(service.train(**QUICK, name="demo")["id"])
        service.wait_until(lambda: service.client.get("/models/demo").status_code == 200, "the model", seconds=10)
        body = {"model": "demo", "horizon": 5, "windows": 4, "season": 21}
        at_once = {}
        for name, values in SERIES.items():
            response = service.client.post("/backtest", json={**body, "series": {name: values}})
            assert response.status_code == 200, response.text
            at_once[name] = response.json()["series"][0]
        submitted = service.client.post("/backtest", json={**body, "series": {**SERIES, "short": [1, 2]}})
        assert submitted.status_code == 202, submitted.text
        job = service.wait_for_job(submitted.json()["id"])
        assert (job["kind"], job["model"], job["progress"]["epoch"]) == ("backtest", "demo", 3)
        result = job["result"]
        assert (result["model"], result["version"], result["windows"]) == ("demo", 1, 4)
        assert result["series"][3]["error"]["pointer"] == "/series/short"
        for one in result["series"][:3]:
            for forecaster in ("model", "naive", "seasonal_naive"):
                assert one[forecaster] == pytest.approx(at_once[one["id"]][forecaster], rel=1e-5)
        assert service.client.get("/jobs").json()["jobs"][0]["result"] is None
        again = service.wait_for_job(service.train(**QUICK, name="demo")["id"])
        assert again["result"]["version"] == 2
    finally:
        service.close()
