"""Backtests whose process died or was stopped, and what their next run finds."""

from typing import Any

import pytest

from service.domain.panel import Panel
from service.jobs.run_errors import JobStopped
from service.parts import records
from tests.jobs.test_parts import set_status
from tests.serving.backtest_shop import N_SERIES, Shop
from tests.serving.test_backtest_jobs import load_panel


def test_a_job_whose_process_died_goes_on_from_its_finished_parts(shop: Shop, at_once: dict[str, Any]) -> None:
    with pytest.raises(InterruptedError):
        shop.run(shop.stop_after(3, InterruptedError()))
    before = shop.objects()
    assert shop.told == [(done, N_SERIES) for done in (2, 4, 6)]
    shop.told.clear()
    rewritten: set[str] = set()

    def look() -> None:
        now = shop.objects()
        rewritten.update(key for key in before if now[key] != before[key])

    assert shop.run(look, attempt=2) == at_once
    assert rewritten == {"job/clock"}
    assert shop.told == [(done, N_SERIES) for done in (8, 10, 12, 13)]


def test_a_job_that_died_finds_what_its_helpers_did_meanwhile(shop: Shop, at_once: dict[str, Any]) -> None:
    with pytest.raises(InterruptedError):
        shop.run(shop.stop_after(1, InterruptedError()))
    helper = shop.helper()
    assert [helper._help() for _ in range(6)] == [True] * 6
    shop.told.clear()
    assert shop.run(attempt=2) == at_once
    # The one at which the process died was done, and kept.
    assert shop.told == []


@pytest.mark.parametrize("damage", ["flipped", "gone", "another release"])
def test_what_can_not_be_trusted_is_computed_again(
    shop: Shop, at_once: dict[str, Any], damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        if damage == "another release":
            patch.setattr(records, "_release", lambda: {"outfielder": "0.0.1"})
        with pytest.raises(InterruptedError):
            shop.run(shop.stop_after(3, InterruptedError()))
    for key in shop.objects():
        content = bytearray(shop.storage.get(key))
        content[len(content) // 2] ^= 1
        if damage == "flipped" and key != "job/clock":
            shop.storage.put(key, bytes(content))
        if damage == "gone" and key != "job/clock":
            shop.storage.delete([key])
    shop.told.clear()
    assert shop.run(attempt=2) == at_once
    assert (shop.told[0], shop.told[-1]) == ((2, N_SERIES), (N_SERIES, N_SERIES))


def test_a_cancel_reaches_the_job_and_its_helpers(shop: Shop) -> None:
    parts = []

    def help_() -> None:
        part = shop.board.take_any("a")
        assert part
        parts.append(part)

    shop.board.on_posted = help_
    with pytest.raises(JobStopped):
        shop.run(shop.stop_after(2, JobStopped("job")))
    set_status(shop.engine, "CANCELLED")
    (part,) = parts

    def beat() -> None:
        if not shop.board.beat("job", part.key, "a"):
            raise JobStopped("job")

    with pytest.raises(JobStopped):
        shop.worker().run_part(part.task, "job", beat)
    # Nobody takes the others, and what is left is swept away.
    assert not shop.helper()._help()
    records.sweep_records(shop.storage, shop.board.find_ended)
    assert shop.objects() == {}


def test_a_worker_lets_go_of_what_it_keeps_for_the_next_part(shop: Shop, at_once: dict[str, Any]) -> None:
    worker = shop.worker()
    opened: list[str] = []

    def count(name: str, digest: str | None) -> Panel:
        opened.append(name)
        return load_panel(name)

    worker._load_panel = count
    helper = shop.helper(worker)

    def help_() -> None:
        assert [helper._help() for _ in range(3)] == [True] * 3

    shop.board.on_posted = help_
    assert shop.run() == at_once
    # Once for three parts.
    assert len(opened) == 1
    shop.board.on_posted = lambda: None
    assert shop.run(job=worker) == at_once
    worker.close()
