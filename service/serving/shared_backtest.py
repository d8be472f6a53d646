"""A backtest as parts that idle workers take; the job's own process does what nobody else has, and assembles.

Scores are those of the version and the series alone, and are added up in the plan's order: an answer does not depend
on who helped.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from service.errors import BacktestFailed
from service.parts.board import Board, JobBoard
from service.parts.records import JobRecords
from service.parts.sharing import Sharing
from service.serving.backtest_records import BacktestRecords, Span
from service.serving.backtesting import Answer, LinearBaseline, TrackOutcome, assemble, fit_linear
from service.serving.open_backtest import OpenBacktest

logger = logging.getLogger(__name__)

# Told how many series are done, of how many, and how many of them runs before had done.
Tell = Callable[[int, int, int], None]


class SharedBacktest:
    """Runs one backtest job whose parts are kept as soon as they are done, and may be done by others."""

    def __init__(
        self,
        opened: OpenBacktest,
        records: JobRecords,
        board: Board,
        job_id: str,
        attempt: int,
        task: Mapping[str, Any],
    ) -> None:
        """Args: `task` is the job's."""
        self._opened = opened
        self._records = records
        self._board = JobBoard(board, job_id, attempt, needs_all=True)
        self._task = task
        self._kept = BacktestRecords(records, opened.identify())

    def run(self, tell: Tell, raise_if_stopped: Callable[[], None]) -> Answer:
        """Raises as `Backtesting.run`, and BacktestFailed where a part can't be done."""
        self._records.begin_run()
        linear = self._find_linear()
        work = ScoreWork(self._opened, self._kept, linear, tell, raise_if_stopped)
        if self._records.is_continued:
            work.restore()
        tasks = {self._kept.key_of(span): self._describe(span) for span in work.spans}
        is_shared = len(self._opened.spans()) > 1
        if self._records.is_continued:
            self._board.keep_only(tasks)
        keys = dict(enumerate(tasks)) if is_shared and self._board.post(tasks) else {}
        Sharing(work, self._records, self._board, keys).run()
        return assemble(self._opened.plan, linear, work.outcomes())

    def _find_linear(self) -> LinearBaseline:
        linear = self._kept.find_linear() if self._records.is_continued else None
        if linear is None:
            linear = fit_linear(self._opened.plan)
            self._kept.keep_linear(linear)
        return linear

    def _describe(self, span: Span) -> dict[str, Any]:
        """A task of the job engine's."""
        part = {"key": self._kept.key_of(span), "span": list(span)}
        return {**self._task, "part": part, "shape": self._kept.digest[:16]}


class ScoreWork:
    """The spans of a backtest, and their outcomes so far. Implements `service.parts.sharing.Work`."""

    def __init__(
        self,
        opened: OpenBacktest,
        kept: BacktestRecords,
        linear: LinearBaseline,
        tell: Tell,
        raise_if_stopped: Callable[[], None],
    ) -> None:
        self.spans = opened.spans()
        self.look = raise_if_stopped
        self._opened = opened
        self._kept = kept
        self._linear = linear
        self._tell = tell
        self._found: dict[Span, list[TrackOutcome]] = {}
        self._n_restored = 0

    @property
    def shapes(self) -> list[str]:
        return [""] * len(self.spans)

    def restore(self) -> None:
        """Takes over what runs before have done."""
        for span in self.spans:
            self.look()
            outcomes = self._kept.find(span)
            if outcomes is not None:
                self._found[span] = outcomes
        self.spans = [span for span in self.spans if span not in self._found]
        self._n_restored = self._n_done()
        if self._found:
            logger.info("%d of %d series were done before", self._n_restored, self._opened.n_tracks)

    def outcomes(self) -> list[TrackOutcome]:
        """Of all tracks, in the plan's order."""
        return [outcome for span in sorted(self._found) for outcome in self._found[span]]

    def may_begin(self, index: int) -> bool:
        del index
        return True

    def is_wanted(self, index: int) -> bool:
        del index
        return True

    def perform(self, index: int) -> None:
        span = self.spans[index]
        done = self._n_done()
        outcomes = self._opened.score(span, self._linear, lambda n: self._report(done + n))
        self._kept.keep(span, outcomes)
        self._found[span] = outcomes

    def collect(self, index: int) -> bool:
        outcomes = self._kept.find(self.spans[index])
        if outcomes is None:
            return False
        self._found[self.spans[index]] = outcomes
        self._report(self._n_done())
        return True

    def end(self, index: int) -> None:
        """Nothing remains to be done: it is kept, and its progress told."""

    def refuse(self, index: int) -> None:
        # Nobody does that to a part of a backtest; and what is missing must not be left out without a word.
        self.leave_out(index, "It was refused.")

    def leave_out(self, index: int, reason: str) -> None:
        span, tracks = self.spans[index], self._opened.plan.tracks
        first, last = tracks[span.first].id, tracks[span.end - 1].id
        raise BacktestFailed(f"The series from {first!r} to {last!r} could not be backtested: {reason}")

    def leave_out_deadly(self, index: int, deaths: int) -> None:
        self.leave_out(
            index,
            f"the process that forecast them died, {deaths} times. Ask for fewer windows or shorter series, or give "
            "the worker more memory.",
        )

    def _n_done(self) -> int:
        return sum(span.end - span.first for span in self._found)

    def _report(self, done: int) -> None:
        self._tell(done, self._opened.n_tracks, self._n_restored)
