"""The compute queue, with an engine whose calls the tests can hold back and count."""

import asyncio
import math
import threading
import time

import numpy as np
import pytest

from service.engines.engine import Answers, Kind, Lengths, Series
from service.errors import NotReady, QueueFull
from service.serving.batcher import INLINE_SECONDS, Batcher
from service.serving.engine_call import MAX_CELLS, MAX_ROWS, EngineCall

pytestmark = pytest.mark.anyio

POISON = -666.0


class GatedEngine:
    """Answers each row with its own sum; calls wait while the gate is closed; rows with POISON bring a call down."""

    def __init__(self, *, is_open: bool = True, seconds: float = math.inf) -> None:
        self.seconds = seconds
        self.gate = threading.Event()
        self.shapes: list[tuple[int, int]] = []
        self.seen: list[float] = []
        if is_open:
            self.gate.set()

    def estimate(self, kind: Kind, rows: int, length: int, horizon: int) -> float:
        return rows * self.seconds

    def forecast(self, series: Series, lengths: Lengths) -> Answers:
        self.shapes.append((series.shape[0], series.shape[1]))
        self.seen += [float(row[0]) for row in series]
        assert self.gate.wait(10)
        if POISON in series:
            raise ValueError("a row that the engine can't take")
        return np.stack([row[:length].sum(keepdims=True) for row, length in zip(series, lengths, strict=True)])

    def rollout(self, series: Series, lengths: Lengths, horizon: int) -> Answers:
        return np.repeat(self.forecast(series, lengths), horizon, axis=1)

    def all_steps(self, series: Series, lengths: Lengths) -> tuple[Answers, Lengths]:
        raise NotImplementedError


def row(*values: float) -> Series:
    return np.array(values, np.float64)


async def computed(batcher: Batcher, call: EngineCall, rows: list[Series]) -> list[float]:
    return [float(answer[0]) for answer in (await batcher.run(call, rows)).rows]


async def until_computing(engine: GatedEngine, n_calls: int = 1) -> None:
    deadline = time.monotonic() + 60
    while len(engine.shapes) < n_calls:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


async def test_what_waits_for_the_same_call_is_computed_together() -> None:
    engine = GatedEngine(is_open=False)
    batcher = Batcher(limit=100, threads=1)
    call = EngineCall(engine, "forecast", 1)
    first = asyncio.create_task(computed(batcher, call, [row(1)]))
    await until_computing(engine)
    others = [asyncio.create_task(computed(batcher, call, [row(i, i), row(i)])) for i in range(2, 12)]
    far = asyncio.create_task(computed(batcher, EngineCall(engine, "rollout", 3), [row(5)]))
    await asyncio.sleep(0.01)
    assert batcher.waiting == 11
    engine.gate.set()
    assert await first == [1]
    assert [await other for other in others] == [[2 * i, i] for i in range(2, 12)]
    assert await far == [5]
    assert engine.shapes == [(1, 1), (20, 2), (1, 1)]
    assert batcher.waiting == 0
    await batcher.close()


async def test_a_caller_who_leaves_is_not_computed_and_leaves_its_neighbours_alone() -> None:
    engine = GatedEngine(is_open=False)
    batcher = Batcher(limit=100, threads=1)
    call = EngineCall(engine, "forecast", 1)
    running = asyncio.create_task(computed(batcher, call, [row(1)]))
    await until_computing(engine)
    tasks = [asyncio.create_task(computed(batcher, call, [row(i)])) for i in range(2, 7)]
    await asyncio.sleep(0.01)
    tasks[1].cancel()
    running.cancel()
    await asyncio.sleep(0.01)
    assert batcher.waiting == 4
    engine.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [outcome for outcome in outcomes if not isinstance(outcome, BaseException)] == [[2], [4], [5], [6]]
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert 3 not in engine.seen
    await batcher.close()


async def test_a_request_that_fails_never_touches_those_computed_with_it() -> None:
    engine = GatedEngine(is_open=False)
    batcher = Batcher(limit=100, threads=1)
    call = EngineCall(engine, "forecast", 1)
    first = asyncio.create_task(computed(batcher, call, [row(1)]))
    await until_computing(engine)
    tasks = [asyncio.create_task(computed(batcher, call, [row(v)])) for v in (2.0, POISON, 3.0)]
    await asyncio.sleep(0.01)
    engine.gate.set()
    assert await first == [1]
    good, bad, also_good = await asyncio.gather(*tasks, return_exceptions=True)
    assert (good, also_good) == ([2], [3])
    assert isinstance(bad, ValueError)
    assert await computed(batcher, call, [row(4)]) == [4]
    await batcher.close()


async def test_a_large_request_lets_small_ones_in_between() -> None:
    engine = GatedEngine(is_open=False)
    batcher = Batcher(limit=100, threads=1)
    call = EngineCall(engine, "forecast", 1)
    order: list[str] = []

    async def ask(name: str, rows: list[Series]) -> list[float]:
        answers = await computed(batcher, call, rows)
        order.append(name)
        return answers

    large = asyncio.create_task(ask("large", [row(i) for i in range(10 * MAX_ROWS)]))
    await until_computing(engine)
    small = asyncio.create_task(ask("small", [row(7)]))
    await asyncio.sleep(0.01)
    engine.gate.set()
    assert await small == [7]
    assert await large == list(range(10 * MAX_ROWS))
    assert order == ["small", "large"]
    await batcher.close()


async def test_one_engine_call_is_bounded_in_rows_and_points() -> None:
    engine = GatedEngine()
    batcher = Batcher(limit=100, threads=2)
    lengths = [1, 100_000, 3, 70_000, 400_000, 2] + [5] * 600
    rows = [np.full(length, 1 / length) for length in lengths]
    answers = await computed(batcher, EngineCall(engine, "forecast", 1), rows)
    assert answers == pytest.approx([1.0] * len(rows), rel=1e-3)
    assert sum(n for n, _ in engine.shapes) == len(rows)
    assert all(n <= MAX_ROWS and (n == 1 or n * time <= MAX_CELLS) for n, time in engine.shapes)
    await batcher.close()


async def test_a_full_queue_refuses_at_once() -> None:
    engine = GatedEngine(is_open=False)
    batcher = Batcher(limit=3, threads=1)
    call = EngineCall(engine, "forecast", 1)
    tasks = [asyncio.create_task(computed(batcher, call, [row(1)]))]
    await until_computing(engine)
    tasks += [asyncio.create_task(computed(batcher, call, [row(1)])) for _ in range(3)]
    await asyncio.sleep(0.01)
    with pytest.raises(QueueFull):
        await batcher.run(call, [row(2)])
    tasks[-1].cancel()
    await asyncio.sleep(0.01)
    late = asyncio.create_task(computed(batcher, call, [row(3)]))
    await asyncio.sleep(0.01)
    engine.gate.set()
    assert await late == [3]
    await asyncio.gather(*tasks[:-1])
    await batcher.close()


async def test_closing_answers_what_waits_and_refuses_what_comes() -> None:
    engine = GatedEngine(is_open=False)
    batcher = Batcher(limit=100, threads=1)
    call = EngineCall(engine, "forecast", 1)
    tasks = [asyncio.create_task(computed(batcher, call, [row(i)])) for i in range(5)]
    await until_computing(engine)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0.01)
    with pytest.raises(NotReady):
        await batcher.run(call, [row(9)])
    engine.gate.set()
    await closing
    assert await asyncio.gather(*tasks) == [[0], [1], [2], [3], [4]]


async def test_an_idle_queue_adds_no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = GatedEngine()
    batcher = Batcher(limit=100, threads=1)
    call = EngineCall(engine, "forecast", 1)
    # To wait for others that may come the queue would have to be called again later.
    waits: list[object] = []
    with monkeypatch.context() as patched:
        patched.setattr(asyncio.get_running_loop(), "call_at", lambda *arguments, **_: waits.append(arguments))
        for _ in range(50):
            await batcher.run(call, [row(1)])
    assert waits == []
    await batcher.close()


async def test_short_calls_that_come_together_are_computed_together_and_wait_for_no_thread() -> None:
    slow, quick = GatedEngine(is_open=False), GatedEngine(seconds=1e-6)
    batcher = Batcher(limit=1000, threads=1)
    long = asyncio.create_task(computed(batcher, EngineCall(slow, "forecast", 1), [row(1)]))
    await until_computing(slow)
    call = EngineCall(quick, "forecast", 1)
    tasks = [asyncio.create_task(computed(batcher, call, [row(i)])) for i in range(100)]
    assert await asyncio.gather(*tasks) == [[i] for i in range(100)]
    assert quick.shapes == [(100, 1)]
    slow.gate.set()
    assert await long == [1]
    await batcher.close()


async def test_short_calls_share_a_turn_of_the_loop_only_as_long_as_they_are_short() -> None:
    engine = GatedEngine(seconds=INLINE_SECONDS / 4)
    batcher = Batcher(limit=1000, threads=1)
    call = EngineCall(engine, "forecast", 1)
    tasks = [asyncio.create_task(computed(batcher, call, [row(i)])) for i in range(20)]
    assert await asyncio.gather(*tasks) == [[i] for i in range(20)]
    assert max(n for n, _ in engine.shapes) <= 5
    await batcher.close()


async def test_a_short_request_that_fails_leaves_the_others_their_answers() -> None:
    engine = GatedEngine(seconds=1e-6)
    batcher = Batcher(limit=100, threads=1)
    call = EngineCall(engine, "forecast", 1)
    tasks = [asyncio.create_task(computed(batcher, call, [row(v)])) for v in (2.0, POISON, 3.0)]
    good, bad, also_good = await asyncio.gather(*tasks, return_exceptions=True)
    assert (good, also_good) == ([2], [3])
    assert isinstance(bad, ValueError)
    await batcher.close()


async def test_no_answer_ever_reaches_another_caller() -> None:
    engines = [GatedEngine(seconds=seconds) for seconds in (1e-6, 1e-6, math.inf)]
    batcher = Batcher(limit=10_000, threads=2)
    rng = np.random.default_rng(0)

    async def ask(i: int) -> None:
        rows = [rng.integers(1, 1000, rng.integers(1, 30)).astype(np.float64) for _ in range(rng.integers(1, 6))]
        call = EngineCall(engines[i % 3], "forecast", 1)
        await asyncio.sleep(float(rng.random()) / 20)
        asking = asyncio.create_task(computed(batcher, call, rows))
        if i % 7 == 0:
            await asyncio.sleep(float(rng.random()) / 500)
            asking.cancel()
        elif i % 11 == 0:
            with pytest.raises(ValueError, match="can't take"):
                await computed(batcher, call, [row(POISON)])
        answers = await asyncio.gather(asking, return_exceptions=True)
        if isinstance(answers[0], list):
            assert answers[0] == [float(one.sum()) for one in rows]
        else:
            assert asking.cancelled()

    await asyncio.gather(*(ask(i) for i in range(3000)))
    assert batcher.waiting == 0
    await batcher.close()


class Steps:
    """Counts its steps, and in how many threads at once they run."""

    def __init__(self, n: int, *, fails_at: int | None = None, seconds: float = 0.002) -> None:
        self._n = n
        self._fails_at = fails_at
        self._seconds = seconds
        self._lock = threading.Lock()
        self.has_begun = threading.Event()
        self.begun = self.running = self.most_running = 0

    def __call__(self) -> bool:
        with self._lock:
            if self.begun == self._n:
                return False
            self.begun += 1
            self.has_begun.set()
            number = self.begun
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        time.sleep(self._seconds)
        with self._lock:
            self.running -= 1
        if number == self._fails_at:
            raise ValueError("step")
        return True


async def test_steps_run_in_all_threads_that_are_free_and_end_when_none_is_left() -> None:
    batcher = Batcher(limit=10, threads=2)
    steps = Steps(20)
    await batcher.run_steps(steps)
    assert (steps.begun, steps.running, steps.most_running) == (20, 0, 2)
    await batcher.close()


async def test_between_steps_others_get_a_thread() -> None:
    batcher = Batcher(limit=10, threads=2)
    engine = GatedEngine()
    # Seconds of work, of which nobody sees the end.
    steps, more = Steps(5000), Steps(10)
    work = asyncio.create_task(batcher.run_steps(steps))
    await asyncio.to_thread(steps.has_begun.wait, 10)
    assert await computed(batcher, EngineCall(engine, "forecast", 1), [row(1.0, 2.0)]) == [3.0]
    await batcher.run_steps(more)
    assert steps.begun < 5000
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await batcher.close()


async def test_a_step_that_fails_is_the_last_and_fails_its_caller_alone() -> None:
    batcher = Batcher(limit=10, threads=2)
    bad, good = Steps(5000, fails_at=3), Steps(10)
    neighbour = asyncio.create_task(batcher.run_steps(good))
    with pytest.raises(ValueError, match="step"):
        await batcher.run_steps(bad)
    await neighbour
    assert good.begun == 10
    await batcher.close()
    assert bad.begun < 5000


async def test_steps_end_when_their_caller_leaves_and_count_in_the_queue_until_then() -> None:
    batcher = Batcher(limit=1, threads=1)
    steps = Steps(10_000)
    work = asyncio.create_task(batcher.run_steps(steps))
    await asyncio.to_thread(steps.has_begun.wait, 10)
    with pytest.raises(QueueFull):
        await batcher.run_steps(Steps(1))
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await batcher.close()
    assert batcher.waiting == 0
    assert steps.begun < 10_000


async def test_closing_lets_steps_come_to_their_end() -> None:
    batcher = Batcher(limit=10, threads=2)
    first, second = Steps(20), Steps(20)
    works = [asyncio.create_task(batcher.run_steps(steps)) for steps in (first, second)]
    await asyncio.sleep(0.01)
    await batcher.close()
    assert all(work.done() for work in works)
    assert (first.begun, second.begun) == (20, 20)
