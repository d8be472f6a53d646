"""Engine calls, and rows of different lengths in one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.engines.engine import Answers, Engine, Kind, Series

# One engine call. More rows gain little (the arithmetic is saturated) and make everybody behind them wait.
MAX_ROWS = 128
# Points of one engine call, padding included: at twenty float32 channels a layer's output stays near 20 MB.
MAX_CELLS = 2**18


@dataclass(frozen=True, slots=True)
class EngineCall:
    """A call of an engine. `horizon` is the steps that each row gets; only `rollout` passes it on."""

    engine: Engine
    kind: Kind
    horizon: int

    def run(self, rows: Sequence[Series]) -> list[Answers]:
        """Rows [time] -> for each its forecast [horizon], or [steps, horizon] of all steps: one engine call."""
        series, lengths = pack(rows)
        if self.kind == "forecast":
            return list(self.engine.forecast(series, lengths))
        if self.kind == "rollout":
            return list(self.engine.rollout(series, lengths, self.horizon))
        forecast, steps = self.engine.all_steps(series, lengths)
        return [of_row[:count] for of_row, count in zip(forecast, steps, strict=True)]

    def run_all(self, rows: Sequence[Series]) -> list[Answers]:
        """As `run`, with as many engine calls as it takes."""
        order = sort_by_length(rows)
        answers: list[Any] = [None] * len(rows)
        first = 0
        while first < len(rows):
            n, _ = self.fit(rows, order[first:], 0, 0)
            taken = order[first : first + n]
            for i, answer in zip(taken, self.run([rows[i] for i in taken]), strict=True):
                answers[i] = answer
            first += n
        return answers

    def fit(self, rows: Sequence[Series], order: Sequence[int], n_before: int, widest: int) -> tuple[int, int]:
        """How many rows, in this order, fit beside those that an engine call has, and what its widest row costs then.

        Args:
            order: indices of rows, the shortest first.
            n_before: how many rows the call has.
            widest: what the one of them that costs most does.
        """
        n = min(MAX_ROWS - n_before, len(order))
        while n:
            # Rows stand in the order of their lengths: the last one is the longest.
            cells = max(widest, self._cells(len(rows[order[n - 1]])))
            if cells * (n_before + n) <= MAX_CELLS or n_before + n == 1:
                return n, cells
            n //= 2
        return 0, widest

    def seconds(self, rows: int, longest: int) -> float:
        """About how long one engine call for so many rows takes, at most."""
        return self.engine.estimate(self.kind, rows, longest, self.horizon)

    def _cells(self, length: int) -> int:
        """What a row of this length costs."""
        return length * self.horizon if self.kind == "all_steps" else length + self.horizon


def sort_by_length(rows: Sequence[Series]) -> list[int]:
    """Shortest first, so that what is computed together is of about one length: little padding."""
    lengths = list(map(len, rows))
    return sorted(range(len(rows)), key=lengths.__getitem__)


def pack(rows: Sequence[Series]) -> tuple[Series, Any]:
    """Rows [time] as one array [batch, time], zeros behind those that are shorter, and their lengths int32 [batch]."""
    lengths = list(map(len, rows))
    longest = max(lengths)
    if len(rows) == 1:
        series = rows[0][None, :]
    elif min(lengths) == longest:
        series = np.concatenate(rows).reshape(len(rows), longest)
    else:
        series = np.zeros((len(rows), longest), np.float64)
        for target, row in zip(series, rows, strict=True):
            target[: len(row)] = row
    return series, np.array(lengths, np.int32)
