"""What the runs of a backtest job, and those that help with it, leave each other: numbers, and never a pickle."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from service.domain.linear_baseline import LinearForecaster
from service.errors import Flaw
from service.parts.records import JobRecords, Record, make_key
from service.serving.backtesting import LinearBaseline, TrackOutcome

# What all parts are scored against. By it a helper also sees that it has the job's records before it.
LINEAR = "linear"
# What computes forecasts; those that are not installed compute none.
_ENGINES = ("onnxruntime", "tensorflow", "tensorflow-cpu")


class Span(NamedTuple):
    """A part of a backtest: the tracks of its plan from `first` on, before `end`."""

    first: int
    end: int


class BacktestRecords:
    """The records of one backtest: what was computed of another is not found."""

    def __init__(self, records: JobRecords, identity: Mapping[str, Any]) -> None:
        """Args: `identity` holds all that the scores depend on, as JSON."""
        self._records = records
        self.digest = make_key({"backtest": {**identity, "engines": _find_engines()}})

    def find_linear(self) -> LinearBaseline | None:
        record = self._records.find(LINEAR)
        if record is None or record.facts["backtest"] != self.digest:
            return None
        forecaster = None
        if record.facts["window"] is not None:
            forecaster = LinearForecaster(record.facts["window"], record.arrays[0])
        return LinearBaseline(forecaster, record.facts["reasons"])

    def keep_linear(self, linear: LinearBaseline) -> None:
        forecaster = linear.forecaster
        facts = {
            "backtest": self.digest,
            "window": None if forecaster is None else forecaster.window,
            "reasons": linear.reasons,
        }
        self._records.keep(LINEAR, Record(facts, [] if forecaster is None else [forecaster.coefficients]))

    def key_of(self, span: Span) -> str:
        """What a part's outcomes are kept under."""
        return make_key({"backtest": self.digest, "span": span})

    def find(self, span: Span) -> list[TrackOutcome] | None:
        """The outcomes of a part; None where nobody has left them."""
        record = self._records.find(self.key_of(span))
        if record is None:
            return None
        return [_read(fields) for fields in record.facts["outcomes"]]

    def keep(self, span: Span, outcomes: list[TrackOutcome]) -> None:
        self._records.keep(self.key_of(span), Record({"outcomes": [_write(outcome) for outcome in outcomes]}))


def _write(outcome: TrackOutcome) -> dict[str, Any]:
    answer = {"flaw": asdict(outcome.answer)} if isinstance(outcome.answer, Flaw) else {"answer": outcome.answer}
    return {"id": outcome.id, "n_points": outcome.n_points, **answer}


def _read(fields: Mapping[str, Any]) -> TrackOutcome:
    answer = Flaw(**fields["flaw"]) if "flaw" in fields else fields["answer"]
    return TrackOutcome(fields["id"], answer, fields["n_points"])


def _find_engines() -> dict[str, str]:
    versions = {}
    for name in _ENGINES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
