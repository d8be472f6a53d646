"""A backtest that this process has at hand: its plan, and what computes its forecasts."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import accumulate, pairwise
from typing import Any

from service.engines.engine import Engine, Loader
from service.serving.backtest_plan import BacktestData, BacktestPlan, BacktestRequest
from service.serving.backtest_records import Span
from service.serving.backtesting import Answer, Backtesting, LinearBaseline, TrackOutcome
from service.serving.batcher import Batcher
from service.serving.forecasting import ForecastLimits
from service.serving.registry import Registry
from service.store.catalog import Catalog

# What others may take of a job: each is a row of a table, which is read again and again.
MOST_SPANS = 200


class OpenBacktest:
    """A backtest without a server. Its event loop runs only while it computes."""

    def __init__(
        self,
        plan: BacktestPlan,
        backtesting: Backtesting,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        identity: dict[str, Any],
    ) -> None:
        """Args: `identity` holds, as JSON, what the scores depend on beside the version and the plan's parts."""
        self.plan = plan
        self._backtesting = backtesting
        self._engine = engine
        self._loop = loop
        self._identity = identity
        self._parts = list(plan.parts())
        # Where each part begins among the tracks, and where the last one ends.
        self._edges = list(accumulate(map(len, self._parts), initial=0))

    @property
    def n_parts(self) -> int:
        return len(self._parts)

    @property
    def n_tracks(self) -> int:
        return self._edges[-1]

    def identify(self) -> dict[str, Any]:
        """All that its scores depend on, as JSON."""
        return {**self._identity, "version": self.plan.manifest.to_dict(), "edges": self._edges}

    def spans(self) -> list[Span]:
        """What of it others may take: a part of the plan each, or several where there are many."""
        parts_each = -(-self.n_parts // MOST_SPANS)
        edges = [*self._edges[:-1:parts_each], self.n_tracks]
        return [Span(first, end) for first, end in pairwise(edges)]

    def run(self, on_part: Callable[[int, int], None]) -> Answer:
        """As `Backtesting.run`."""
        return self._loop.run_until_complete(self._backtesting.run(self.plan, on_part))

    def score(self, span: Span, linear: LinearBaseline, on_part: Callable[[int], None]) -> list[TrackOutcome]:
        """The outcomes of a span's tracks.

        Args:
            on_part: told after each part of the plan how many tracks of the span are done. What it raises ends it.

        Raises:
            QueueFull, NotReady.
        """
        outcomes: list[TrackOutcome] = []
        for first, part in zip(self._edges[:-1], self._parts, strict=True):
            if span.first <= first < span.end:
                outcomes += self._loop.run_until_complete(
                    self._backtesting.score(self.plan, self._engine, part, linear)
                )
                on_part(len(outcomes))
        return outcomes


@contextmanager
def open_backtest(
    catalog: Catalog, loader: Loader, limits: ForecastLimits, request: BacktestRequest, data: BacktestData
) -> Iterator[OpenBacktest]:
    """Plans a backtest, and keeps its version loaded.

    Raises:
        InvalidRequest, NotFound, VersionDamaged: as `Backtesting.prepare` and `load`.
    """
    with asyncio.Runner() as runner, ExitStack() as closing:
        registry = Registry(catalog, loader, max_loaded=1)
        batcher = Batcher(limit=1, threads=1)
        # Not `runner.run`: where it restores the handler of Ctrl-C, it writes down all that the task gave.
        loop = runner.get_loop()
        closing.callback(lambda: loop.run_until_complete(registry.close()))
        closing.callback(lambda: loop.run_until_complete(batcher.close()))
        loop.run_until_complete(registry.open())
        backtesting = Backtesting(registry, batcher, limits)
        plan = loop.run_until_complete(backtesting.prepare(request, data))
        engine = loop.run_until_complete(backtesting.load(plan))
        identity = {
            "request": asdict(request),
            "pointers": data.pointers,
            "panel": data.panel.digest(),
            "freq": data.freq,
            "engine": registry.choose(plan.manifest).engine,
            # By them series may be set aside.
            "limits": asdict(limits),
        }
        yield OpenBacktest(plan, backtesting, engine, loop, identity)
