"""Workers of many hosts on one database: one that is gone is noticed, and one that comes back does no harm."""

import os
import signal
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.jobs import leases
from service.jobs.connection import connect
from service.jobs.database import migrate
from service.jobs.database_tables import WORKERS, JobTables
from service.jobs.host import read_host_id
from service.jobs.leases import Leases
from tests.jobs.workers import (
    REQUEST,
    Workers,
    ended,
    on_both,
    on_postgres,
    open_queue,
    run_async,
    task,
    training,
    until,
)

# Short, and yet longer than a busy machine keeps a worker from its beats.
LEASE_SECONDS = 3.0
DAY_MS = 86_400_000


@on_both
def test_the_job_of_a_host_that_is_gone_for_good_runs_on_another(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            lost = workers.start(host="a", clock_years=-3, lease_seconds=LEASE_SECONDS)
            job = await queue.submit(REQUEST, task(epochs=1, seconds=1))
            waiting = await queue.submit(REQUEST, task(epochs=1, seconds=0))
            await until(queue, job.id, training)
            lost.kill()
            workers.start(host="b", clock_years=3, lease_seconds=LEASE_SECONDS)
            done = await until(queue, job.id, ended)
            assert (done.status, done.attempt, done.result) == ("succeeded", 2, {"model": "demo", "version": 2})
            assert (await until(queue, waiting.id, ended)).attempt == 1
            assert sorted(workers.runs()) == sorted([f"{job.id} 1", f"{job.id} 2", f"{waiting.id} 1"])

    run_async(scenario)


@on_postgres
def test_a_job_that_takes_three_hosts_down_is_failed_and_the_queue_goes_on(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            deadly = await queue.submit(REQUEST, task(epochs=1, crashes=True))
            for host in "abc":
                workers.start(wait=False, host=host, lease_seconds=LEASE_SECONDS).wait(timeout=60)
            workers.start(host="d", lease_seconds=LEASE_SECONDS)
            after = await queue.submit(REQUEST, task(epochs=1, seconds=0))
            failed = await until(queue, deadly.id, ended)
            assert (failed.status, failed.error and failed.error["code"]) == ("failed", "worker_died")
            assert (await until(queue, after.id, ended)).status == "succeeded"
            assert sorted(run for run in workers.runs() if run.startswith(deadly.id)) == [
                f"{deadly.id} {attempt}" for attempt in (1, 2, 3)
            ]

    run_async(scenario)


@on_both
def test_a_worker_that_was_away_past_its_lease_publishes_nothing(workers: Workers) -> None:
    published = workers.folder / "published"

    async def scenario() -> None:
        async with open_queue(workers) as queue:
            away = workers.start(host="a", module="supervised_worker", lease_seconds=LEASE_SECONDS)
            job = await queue.submit(REQUEST, task(does="publish", file=str(published), seconds=1))
            await until(queue, job.id, training)
            # What does its job goes on, and asks whether it may publish.
            os.kill(away.pid, signal.SIGSTOP)
            workers.start(host="b", module="supervised_worker", lease_seconds=LEASE_SECONDS)
            done = await until(queue, job.id, ended)
            assert (done.status, done.attempt) == ("succeeded", 2)
            os.kill(away.pid, signal.SIGCONT)
            # It takes jobs again, so it is done with the one that it has lost.
            for _ in range(6):
                after = await queue.submit(REQUEST, task(does="tell", times=1))
                assert (await until(queue, after.id, ended)).attempt == 1
            assert published.read_text() == "2\n"
            assert await queue.get(job.id) == done

    run_async(scenario)


def test_what_a_release_without_leases_left_is_run_again_at_once(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            worker = workers.start()
            job = await queue.submit(REQUEST, task(epochs=1, seconds=1))
            await until(queue, job.id, training)
            worker.kill()
            worker.wait()
            engine = connect(workers.url)
            status = JobTables("sqlite").status
            with engine.begin() as connection:
                connection.execute(sa.update(status).values(executor_id="worker-0"))
                connection.execute(sa.delete(WORKERS))
            engine.dispose()
            workers.start()
            done = await until(queue, job.id, ended, seconds=leases.LEASE_SECONDS - 5)
            assert (done.status, done.attempt) == ("succeeded", 2)

    run_async(scenario)


class Clock:
    """A process's running time, which passes as the test says, however busy the machine is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(leases, "time", clock)
    return clock


class Hosts:
    """Leases of some hosts on one database, each holding a job, watched by another one."""

    def __init__(self, url: str, clock: Clock) -> None:
        migrate(url)
        self._clock = clock
        self.engine = connect(url)
        self.watcher = Leases(self.engine, "watcher:0", "watcher")
        self.living = Leases(self.engine, "living:0", "living")
        self.living.beat()

    def give(self, job_id: str, executor: str) -> None:
        status = JobTables(self.engine.dialect.name).status
        with self.engine.begin() as connection:
            connection.execute(
                sa.update(status)
                .where(status.c.workflow_uuid == job_id)
                .values(status="PENDING", executor_id=executor, owner_xid="token")
            )

    def holds(self, executor: str) -> bool:
        status = JobTables(self.engine.dialect.name).status
        with self.engine.begin() as connection:
            return bool(
                connection.execute(
                    sa.select(sa.func.count()).where(status.c.executor_id == executor, status.c.status == "PENDING")
                ).scalar()
            )

    def set_clock(self, executor: str, by_ms: int) -> None:
        """As if the database's clock had been set since that worker's last beat."""
        with self.engine.begin() as connection:
            connection.execute(
                sa.update(WORKERS)
                .where(WORKERS.c.executor == executor)
                .values(heartbeat_ms=WORKERS.c.heartbeat_ms - by_ms)
            )

    def watch(self, seconds: float, *, clock_by_ms: int = 0) -> None:
        """Time goes by, in which the living worker beats."""
        until = self._clock.now + seconds
        while self._clock.now < until:
            self.living.beat()
            self.set_clock("living:0", clock_by_ms)
            self.watcher.take_over()
            self._clock.now += leases.BEAT_SECONDS / 2


@on_both
@pytest.mark.parametrize("jump_ms", [0, DAY_MS, -DAY_MS], ids=["steady", "ahead", "back"])
def test_whoever_beats_keeps_its_job_and_whoever_does_not_loses_it_however_the_databases_clock_jumps(
    workers: Workers, clock: Clock, jump_ms: int
) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            ids = [(await queue.submit(REQUEST, task())).id for _ in range(3)]
        hosts = Hosts(workers.url, clock)
        Leases(hosts.engine, "gone:0", "gone").beat()
        for job_id, executor in zip(ids, ("living:0", "gone:0", "nobody:0"), strict=True):
            hosts.give(job_id, executor)
        hosts.set_clock("gone:0", jump_ms)
        hosts.watch(leases.BEAT_SECONDS, clock_by_ms=jump_ms)
        # A jump alone takes nothing from anybody.
        assert hosts.holds("gone:0")
        hosts.watch(2 * leases.LEASE_SECONDS, clock_by_ms=jump_ms)
        assert (hosts.holds("living:0"), hosts.holds("gone:0"), hosts.holds("nobody:0")) == (True, False, False)
        hosts.engine.dispose()

    run_async(scenario)


def test_after_the_database_was_away_everybody_is_given_time_to_beat(workers: Workers, clock: Clock) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job_id = (await queue.submit(REQUEST, task())).id
        hosts = Hosts(workers.url, clock)
        hosts.give(job_id, "living:0")
        hosts.watch(leases.WATCH_SECONDS)
        # Nobody could beat or look.
        clock.now += 1.5 * leases.LEASE_SECONDS
        assert hosts.watcher.take_over() == 0
        hosts.watch(leases.WATCH_SECONDS)
        assert hosts.holds("living:0")
        hosts.engine.dispose()

    run_async(scenario)


def test_a_worker_that_ends_takes_its_lease_away(workers: Workers) -> None:
    worker = workers.start(host="a")
    engine = connect(workers.url)
    with engine.connect() as connection:
        [row] = connection.execute(sa.select(WORKERS)).all()
    assert row.executor == f"{read_host_id(workers.folder / 'a')}:0"
    assert row.host == os.uname().nodename
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    with engine.connect() as connection:
        assert connection.execute(sa.select(WORKERS)).all() == []
    engine.dispose()


def test_a_hosts_name_stays_and_no_two_have_the_same(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    names = {folder: read_host_id(folder) for folder in folders}
    assert len(set(names.values())) == 2
    assert {folder: read_host_id(folder) for folder in folders} == names
    assert [file.name for file in folders[0].iterdir()] == ["host-id"]
    # As a full disk or a crash may leave it.
    (folders[0] / "host-id").write_text("")
    assert len(read_host_id(folders[0])) == 12


def test_slots_that_start_at_once_agree_on_their_hosts_name(tmp_path: Path) -> None:
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(read_host_id(tmp_path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 16
    assert len(set(names)) == 1
