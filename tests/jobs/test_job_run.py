"""A run, where nothing is left to tell of it."""

from typing import Any

import pytest

from service.jobs.job import Progress
from service.jobs.job_run import JobRun, RunLost


def test_a_run_whose_engine_has_ended_is_lost_and_no_failure() -> None:
    client: Any = None
    run = JobRun(client, "a job", attempt=1)
    with pytest.raises(RunLost):
        run.report(Progress(1, 2, None, None, None))
    run.finish()
