"""Requests that wait for an engine call, and how answers get back to their callers."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from service.engines.engine import Answers, Series
from service.serving.engine_call import EngineCall

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Computed:
    """A request's answers, in the order of its rows, and how long it waited and was computed."""

    rows: list[Answers]
    queue_seconds: float
    compute_seconds: float


@dataclass(eq=False, slots=True)
class PendingRequest:
    """Rows that wait for their answers, of which some may be computed before others."""

    rows: list[Series]
    future: asyncio.Future[Computed]
    points: int
    seconds: float
    # The rows' indices by length, as `sort_by_length` gives them.
    order: list[int]
    answers: list[Any]
    submitted: float = field(default_factory=time.perf_counter)
    started: float | None = None
    taken: int = 0
    answered: int = 0


# A request and which of its rows take part in an engine call.
PendingPart = tuple[PendingRequest, list[int]]


Outcome = list[Answers] | BaseException


def run_parts(call: EngineCall, parts: Sequence[PendingPart]) -> list[Outcome]:
    """The answers of each part, or why it has none: that is for the callers whose rows these were."""
    try:
        return list(_run_together(call, parts))
    except Exception as error:  # engines raise classes that share no other base; the caller gets it
        logger.warning("an engine call for %d requests failed", len(parts), exc_info=True)
        # One request's rows brought the call down: alone, only its own call fails.
        return [error] if len(parts) == 1 else [run_parts(call, [part])[0] for part in parts]


def _run_together(call: EngineCall, parts: Sequence[PendingPart]) -> list[list[Answers]]:
    rows = [request.rows[i] for request, indices in parts for i in indices]
    answers = call.run(rows)
    if len(parts) == 1:
        return [answers]
    stops = list(accumulate(len(indices) for _, indices in parts))
    return [answers[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def settle_all(parts: Sequence[PendingPart], outcomes: Sequence[Outcome], started: float) -> None:
    ended = time.perf_counter()
    for (request, indices), outcome in zip(parts, outcomes, strict=True):
        _settle(request, indices, outcome, started, ended)


def _settle(request: PendingRequest, indices: list[int], outcome: Outcome, started: float, ended: float) -> None:
    if request.future.done():
        # The caller has gone, or another part has failed already.
        return
    if isinstance(outcome, BaseException):
        if isinstance(outcome, StopIteration):
            # A future refuses it, and whoever settles the others would stop here.
            outcome = RuntimeError("an engine raised StopIteration")
        request.future.set_exception(outcome)
        return
    for index, answer in zip(indices, outcome, strict=True):
        request.answers[index] = answer
    request.answered += len(indices)
    request.started = started if request.started is None else min(started, request.started)
    if request.answered == len(request.rows):
        request.future.set_result(
            Computed(request.answers, request.started - request.submitted, ended - request.started)
        )
