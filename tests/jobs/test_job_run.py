"""A run, where nothing is left to tell of it."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from service.jobs.connection import connect
from service.jobs.database_tables import JobTables
from service.jobs.job import Progress
from service.jobs.job_run import JobRun
from service.jobs.ownership import Ownership
from service.jobs.run_errors import JobStopped, RunLost
from tests.jobs.workers import REQUEST, Workers, on_both, open_queue, run_async, task


def make_running(workers: Workers) -> tuple[sa.Engine, str]:
    """A job that a worker has taken."""
    ids: list[str] = []

    async def submit() -> None:
        async with open_queue(workers) as queue:
            ids.append((await queue.submit(REQUEST, task())).id)

    run_async(submit)
    engine = connect(workers.url)
    with engine.begin() as connection:
        connection.execute(
            sa.update(JobTables(engine.dialect.name).status).values(
                status="PENDING", executor_id="host:0", owner_xid="mine", recovery_attempts=1
            )
        )
    return engine, ids[0]


def test_a_run_whose_engine_has_ended_is_lost_and_no_failure(workers: Workers) -> None:
    engine, job_id = make_running(workers)
    run = JobRun(Ownership(engine, job_id, "mine"), job_id, attempt=1)
    with pytest.raises(RunLost):
        run.report(Progress(1, 2, None, None, None))
    run.finish()
    engine.dispose()


@on_both
@pytest.mark.parametrize(
    "change", [{"owner_xid": "another run's"}, {"status": "CANCELLED"}, {"status": "ENQUEUED", "owner_xid": None}]
)
def test_a_run_whose_job_is_no_longer_its_own_reports_nothing(workers: Workers, change: dict[str, str | None]) -> None:
    engine, job_id = make_running(workers)
    run = JobRun(Ownership(engine, job_id, "mine"), job_id, attempt=1)
    assert run.confirm()
    with engine.begin() as connection:
        connection.execute(sa.update(JobTables(engine.dialect.name).status).values(**change))
    with pytest.raises(JobStopped):
        run.confirm()
    with pytest.raises(JobStopped):
        JobRun(Ownership(engine, job_id, "mine"), job_id, attempt=1).report(Progress(1, 2, None, None, None))
    engine.dispose()


def test_a_run_goes_on_while_the_database_is_away_and_confirms_nothing(workers: Workers, tmp_path: Path) -> None:
    engine, job_id = make_running(workers)
    engine.dispose()
    file = tmp_path / "jobs.sqlite"
    file.rename(tmp_path / "away")
    file.mkdir()
    run = JobRun(Ownership(engine, job_id, "mine"), job_id, attempt=1)
    run.report(Progress(1, 2, None, None, None))
    run.raise_if_stopped()
    assert not run.confirm()
    file.rmdir()
    (tmp_path / "away").rename(file)
    assert run.confirm()
    engine.dispose()
