"""Parts of jobs: who may take them, and what becomes of them."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.errors import TooMuchMemory
from service.job_supervisor import JobSupervisor
from service.jobs import helping
from service.jobs.connection import connect
from service.jobs.database import migrate
from service.jobs.database_tables import PARTS, JobTables
from service.jobs.helping import Helper
from service.jobs.job_records import MOST_DEATHS
from service.jobs.parts import PartBoard
from service.jobs.run_errors import JobFailed, JobStopped, RunLost
from service.jobs.slot import Slot

TASKS = {"first": {"part": {"key": "first"}}, "second": {"part": {"key": "second"}}}


@pytest.fixture(params=["sqlite", "postgres"])
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    is_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}" if is_file else request.getfixturevalue("emptied_postgres_url")
    migrate(url)
    engine = connect(url)
    add_job(engine, "job", "PENDING")
    yield engine
    engine.dispose()


@pytest.fixture
def board(engine: sa.Engine) -> PartBoard:
    board = PartBoard(engine)
    board.post("job", TASKS, is_rerun=False)
    return board


def add_job(engine: sa.Engine, job_id: str, status: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                f"INSERT INTO {table_of(engine)} (workflow_uuid, name, status, created_at, updated_at, priority)"
                " VALUES (:id, 'run_job', :status, 0, 0, 0)"
            ),
            {"id": job_id, "status": status},
        )


def table_of(engine: sa.Engine) -> str:
    return "workflow_status" if engine.dialect.name == "sqlite" else "dbos.workflow_status"


def set_status(engine: sa.Engine, status: str) -> None:
    table = JobTables(engine.dialect.name).status
    with engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.workflow_uuid == "job").values(status=status))


def test_each_part_is_taken_once_in_the_order_in_which_they_were_posted(board: PartBoard) -> None:
    first, second, none = (board.take_any(owner) for owner in ("a", "b", "c"))
    assert first
    assert second
    assert (first.key, first.task, second.key, none) == ("first", TASKS["first"], "second", None)
    assert not board.take_own("job", "first")


def test_of_many_workers_at_once_one_gets_each_part(board: PartBoard) -> None:
    taken: list[str] = []

    def take(owner: str) -> None:
        while part := board.take_any(owner):
            taken.append(part.key)

    threads = [threading.Thread(target=take, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == ["first", "second"]


def test_nobody_helps_while_a_job_waits_nor_a_job_that_does_not_run(board: PartBoard, engine: sa.Engine) -> None:
    add_job(engine, "other", "ENQUEUED")
    assert board.take_any("a") is None
    with engine.begin() as connection:
        connection.execute(sa.text(f"DELETE FROM {table_of(engine)} WHERE workflow_uuid = 'other'"))
    set_status(engine, "CANCELLED")
    assert board.take_any("a") is None
    set_status(engine, "PENDING")
    assert board.take_any("a") is not None


def test_a_part_of_another_release_is_left_to_its_own(board: PartBoard, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(PARTS).values(release="another"))
    assert board.take_any("a") is None
    assert board.take_own("job", "first")


def test_a_helper_is_told_that_the_part_is_lost_or_the_job_has_ended(board: PartBoard, engine: sa.Engine) -> None:
    assert board.take_any("a")
    assert board.beat("job", "first", "a")
    assert not board.beat("job", "first", "b")
    set_status(engine, "CANCELLED")
    assert not board.beat("job", "first", "a")
    set_status(engine, "PENDING")
    board.give_back("job", "first", "a", has_died=True)
    assert not board.beat("job", "first", "a")
    assert not board.finish("job", "first", "a")
    assert board.read("job")["first"].state == "open"


def test_a_part_that_took_three_processes_down_is_taken_by_no_other(board: PartBoard) -> None:
    for _ in range(MOST_DEATHS):
        part = board.take_any("a")
        assert part
        assert part.key == "first"
        board.give_back("job", "first", "a", has_died=True)
    part = board.take_any("a")
    assert part
    assert part.key == "second"
    assert board.read("job")["first"].deaths == MOST_DEATHS


def test_a_rerun_finds_its_parts_and_counts_what_its_own_process_died_at(board: PartBoard) -> None:
    assert board.take_own("job", "first")
    helped = board.take_any("a")
    assert helped
    assert helped.key == "second"
    board.post("job", TASKS | {"third": {}}, is_rerun=True)
    parts = board.read("job")
    assert (parts["first"].state, parts["first"].deaths) == ("open", 1)
    assert (parts["second"].state, parts["second"].owner) == ("taken", "a")
    assert parts["third"].state == "open"


def test_a_part_that_is_refused_stays_so_in_every_run(board: PartBoard) -> None:
    assert not board.refuse("job", "first")
    assert board.take_own("job", "first")
    assert board.refuse("job", "first")
    board.post("job", TASKS, is_rerun=True)
    assert (board.read("job")["first"].state, board.read("job")["first"].deaths) == ("refused", 0)
    assert not board.take_own("job", "first")
    part = board.take_any("a")
    assert part
    assert part.key == "second"


def test_parts_that_are_closed_are_nobodys_but_what_is_done_stays(board: PartBoard) -> None:
    board.post("job", {"third": {}}, is_rerun=False)
    assert board.take_own("job", "first")
    assert board.finish("job", "first")
    assert board.take_any("a")
    board.close("job", ["first", "second", "third"])
    assert not board.beat("job", "second", "a")
    assert {key: part.state for key, part in board.read("job").items()} == {"first": "done"}
    assert board.take_any("b") is None


def test_what_ended_jobs_have_left_is_swept_away(board: PartBoard, engine: sa.Engine) -> None:
    board.sweep()
    assert len(board.read("job")) == 2
    set_status(engine, "ERROR")
    assert board.find_ended(["job", "unknown"]) == {"job"}
    board.sweep()
    assert board.read("job") == {}


def help_once(board: PartBoard, perform: Any, slot: Slot | None = None) -> None:
    Helper(board, perform, slot or Slot(), threading.Event())._help()


@pytest.mark.parametrize(
    ("error", "state", "deaths"),
    [
        (None, "done", 0),
        (JobStopped("job"), "open", 0),
        (RunLost("job"), "open", 1),
        (JobFailed("The training diverged.", "training_failed", "TrainingFailed"), "failed", 0),
        (JobFailed("See the log.", "training_failed", "JobFailed"), "open", 1),
        (TooMuchMemory("It took too much."), "open", 0),
    ],
)
def test_what_becomes_of_a_part_that_a_helper_took(
    board: PartBoard, error: Exception | None, state: str, deaths: int
) -> None:
    tasks = []

    def perform(task: dict[str, Any], run: Any) -> dict[str, Any]:
        run.raise_if_stopped()
        tasks.append(task)
        if error is not None:
            raise error
        return {}

    help_once(board, perform)
    part = board.read("job")["first"]
    assert (part.state, part.deaths) == (state, deaths)
    assert tasks == [{"kind": "train", **TASKS["first"]}]
    if state == "failed":
        assert part.error == "The training diverged."


def test_a_helper_that_can_not_do_a_part_leaves_that_job_alone(board: PartBoard) -> None:
    helper = Helper(board, lambda task, run: {"is_refused": True}, Slot(), threading.Event())
    assert helper._help()
    assert not helper._help()
    assert board.read("job")["first"].state == "open"


def test_a_helper_makes_room_for_a_job_of_its_own_at_once(board: PartBoard) -> None:
    slot = Slot()
    has_begun = threading.Event()

    def perform(task: dict[str, Any], run: Any) -> dict[str, Any]:
        has_begun.set()
        for _ in range(6000):
            run.raise_if_stopped()
            threading.Event().wait(0.01)
        raise AssertionError("it was not stopped")

    helping = threading.Thread(target=help_once, args=(board, perform, slot))
    helping.start()
    assert has_begun.wait(60)
    assert slot.acquire(60)
    helping.join()
    assert board.read("job")["first"].state == "open"
    assert not slot.acquire_idle()
    slot.release()
    assert slot.acquire_idle()


def test_who_has_a_program_takes_what_it_is_for_and_else_what_nobody_has_begun(board: PartBoard) -> None:
    board.remove(["job"])
    shapes = ["a", "b", "a", "b", "c"]
    board.post("job", {str(i): {"shape": shape} for i, shape in enumerate(shapes)}, is_rerun=False)
    assert board.take_own("job", "0")
    taken = []
    known: set[str] = set()
    while part := board.take_any("helper", shapes=known):
        taken.append(part.key)
        known.add(part.task["shape"])
    assert taken == ["1", "3", "4", "2"]


@pytest.fixture
def supervisor() -> Iterator[JobSupervisor]:
    supervisor = JobSupervisor(
        [sys.executable, "-m", "tests.job_process"], memory_bytes=2**33, max_seconds=1000, grace_seconds=1.0
    )
    yield supervisor
    supervisor.close()


def help_with(engine: sa.Engine, supervisor: JobSupervisor, *parts: dict[str, Any]) -> tuple[PartBoard, Helper]:
    """A helper in earnest, and its board."""
    board = PartBoard(engine)
    board.post("job", {str(i): part for i, part in enumerate(parts)}, is_rerun=False)
    return board, Helper(board, supervisor.perform, Slot(), threading.Event())


def test_a_helper_whose_process_dies_gives_the_part_back_and_can_do_the_next_job(
    engine: sa.Engine, supervisor: JobSupervisor
) -> None:
    board, helper = help_with(engine, supervisor, {"does": "die"})
    assert helper._help()
    part = board.read("job")["0"]
    assert (part.state, part.deaths) == ("open", 1)
    with engine.begin() as connection:
        connection.execute(sa.delete(PARTS))
    board, helper = help_with(engine, supervisor, {"does": "tell", "times": 2})
    assert helper._help()
    assert board.read("job")["0"].state == "done"


def test_a_part_that_logs_is_done(engine: sa.Engine, supervisor: JobSupervisor) -> None:
    board, helper = help_with(engine, supervisor, {"does": "fit", "times": 3, "kills": 0, "model": "demo"})
    assert helper._help()
    assert board.read("job")["0"].state == "done"


def test_a_part_that_hears_nothing_is_killed_when_a_job_comes(engine: sa.Engine, supervisor: JobSupervisor) -> None:
    board, helper = help_with(engine, supervisor, {"does": "hang"})
    helping_thread = threading.Thread(target=helper._help)
    helping_thread.start()
    while board.read("job")["0"].state == "open":
        threading.Event().wait(0.05)
    assert helper._slot.acquire(60)
    helping_thread.join()
    assert (part := board.read("job")["0"]).state == "open"
    assert part.deaths == 0
    helper._slot.release()


def test_whatever_goes_wrong_with_a_part_it_goes_back_and_the_helper_goes_on(
    board: PartBoard, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helping, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(helping, "SWEEP_SECONDS", 0.0)
    stop = threading.Event()
    swept = 0

    def perform(task: dict[str, Any], run: Any) -> dict[str, Any]:
        raise AttributeError("a fault of the worker's own")

    def sweep() -> None:
        nonlocal swept
        swept += 1
        if swept == 3:
            stop.set()
        raise ValueError("another")

    Helper(board, perform, Slot(), stop, sweep).keep_helping()
    assert swept == 3
    assert {part.state for part in board.read("job").values()} == {"open"}


def test_a_helper_remembers_few_of_the_jobs_that_it_can_not_help_and_none_that_has_ended(
    board: PartBoard, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helping, "MOST_KNOWN", 3)
    others = [f"other {i}" for i in range(5)]
    for job_id in others:
        add_job(engine, job_id, "PENDING")
        board.post(job_id, {"key": {}}, is_rerun=False)
    helper = Helper(board, lambda task, run: {"is_refused": True}, Slot(), threading.Event())
    for _ in range(6):
        assert helper._help()
    first, second, third = helper._refused
    status = JobTables(engine.dialect.name).status
    with engine.begin() as connection:
        connection.execute(sa.update(status).where(status.c.workflow_uuid == second).values(status="SUCCESS"))
    helper._clean_up()
    assert list(helper._refused) == [first, third]
