"""What answering a request takes: its plan, its parts, and what is computed for each of them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from service.domain.calendar import STAMP_VALUES
from service.domain.frequency import check_frequency
from service.domain.panel import Panel
from service.domain.series import PostedSeries
from service.engines.engine import Answers, Engine, Series
from service.serving.engine_call import MAX_CELLS, MAX_ROWS, EngineCall
from service.serving.forecast_calendar import ForecastCalendar
from service.serving.forecast_plan import ForecastPlan, ForecastRequest
from service.serving.postprocess import SeriesForecast, assemble
from service.serving.preprocess import PreparedSeries, count_points
from service.serving.zero_shot import assemble_combined, combine_rows_here
from service.store.manifest import Manifest

# What measuring a series for its intervals takes, and finding its first time stamp and each further one, in numbers.
SPREAD_NUMBERS, CALENDAR_NUMBERS, STAMP_NUMBERS = 500, 300, 5
# What finding a series' season takes, in numbers.
SEASON_NUMBERS = 3000
# A large request is read, computed and answered in parts of so many series: one engine call each.
PART_SERIES = MAX_ROWS


@dataclass(frozen=True, slots=True)
class Work:
    """A request with its resolved version and plan."""

    request: ForecastRequest
    manifest: Manifest
    plan: ForecastPlan
    calendar: ForecastCalendar
    freq: str | None


class Part(NamedTuple):
    """The answers to some of a request's series."""

    series: list[SeriesForecast]
    queue_seconds: float
    compute_seconds: float


def choose_frequency(request: ForecastRequest, panel: Panel | None, manifest: Manifest) -> str | None:
    """The request's frequency, else the upload's.

    Raises:
        InvalidRequest: the zero-shot model, which reads its season from it, doesn't know it.
    """
    freq = panel.freq if panel is not None and request.freq is None else request.freq
    if manifest.is_zero_shot and freq is not None:
        check_frequency(freq)
    return freq


def make_calendar(
    request: ForecastRequest, manifest: Manifest, panel: Panel | None, plan: ForecastPlan
) -> ForecastCalendar:
    """The calendar of the steps of a plan."""
    return ForecastCalendar(request, panel, plan.horizon, freq_tells_season=manifest.is_zero_shot)


def split_rows(rows: list[PreparedSeries]) -> Iterator[list[PreparedSeries]]:
    """Parts of about one engine call: others wait for a thread no longer than one takes."""
    part: list[PreparedSeries] = []
    n_points = 0
    for row in rows:
        n = 0 if row.values is None else len(row.values)
        if part and (len(part) == PART_SERIES or n_points + n > MAX_CELLS):
            yield part
            part, n_points = [], 0
        part.append(row)
        n_points += n
    if part:
        yield part


def collect_inputs(rows: list[PreparedSeries]) -> list[Series]:
    """The values of those rows that have no flaw."""
    return [row.values for row in rows if row.values is not None]


def answer_part(work: Work, engine: Engine, rows: list[PreparedSeries], submitted: float) -> Part:
    """Computes the answers to some rows here and now.

    Args:
        submitted: when the request was, by `time.perf_counter`.
    """
    started = time.perf_counter()
    inputs = collect_inputs(rows)
    if work.manifest.is_zero_shot:
        seasons = [row.seasons for row in rows if row.seasons is not None]
        combined = combine_rows_here(engine, inputs, seasons, work.plan.horizon)
        ended = time.perf_counter()
        joined = assemble_combined(rows, combined, engine, work.plan, explained=work.request.explain)
        return Part(joined, started - submitted, ended - started)
    outputs = [call.run_all(inputs) for call in make_calls(work, engine)]
    ended = time.perf_counter()
    return Part(join_answers(work, rows, outputs), started - submitted, ended - started)


def make_calls(work: Work, engine: Engine) -> list[EngineCall]:
    """The engine calls for each row: its forecast, all steps, or both."""
    main = make_engine_call(engine, work.plan, work.manifest)
    if not work.request.all_steps:
        return [main]
    steps = EngineCall(engine, "all_steps", work.manifest.horizon)
    # What is not rolled out is the last of all steps.
    return [steps, main] if work.plan.rolled_out else [steps]


def join_answers(work: Work, rows: list[PreparedSeries], outputs: list[list[Answers]]) -> list[SeriesForecast]:
    """Series with what the engine gave for `make_calls`."""
    answers, sequences = outputs[-1], outputs[0] if work.request.all_steps else None
    if sequences is not None and not work.plan.rolled_out:
        answers = [steps[-1] for steps in sequences]
    return assemble(rows, answers, sequences, work.plan)


def count_answer_values(series: list[PostedSeries], work: Work) -> int:
    """How many numbers the answer for these series will hold, at most; time stamps are counted as what they take."""
    per_step = work.plan.numbers_a_step + (STAMP_VALUES if _is_stamped(series, work) else 0)
    n_values = len(series) * work.plan.horizon * per_step
    if work.request.all_steps:
        n_values += count_points(series) * work.manifest.horizon
    return n_values


def weigh(series: list[PostedSeries], work: Work) -> int:
    """What reading and answering series takes beside the engine's work, in numbers that are read or written."""
    each = SPREAD_NUMBERS * work.plan.has_spread
    if work.manifest.is_zero_shot and work.request.season != 1 and work.freq is None:
        each += SEASON_NUMBERS
    if _is_stamped(series, work):
        each += CALENDAR_NUMBERS + STAMP_NUMBERS * work.plan.horizon
    return count_points(series) + count_answer_values(series, work) + each * len(series)


def _is_stamped(series: list[PostedSeries], work: Work) -> bool:
    return work.calendar.has_times or any(posted.start is not None for posted in series)


def make_engine_call(engine: Engine, plan: ForecastPlan, manifest: Manifest) -> EngineCall:
    """The engine call that gives a plan's steps, or more."""
    return (
        EngineCall(engine, "rollout", plan.horizon)
        if plan.rolled_out
        else EngineCall(engine, "forecast", manifest.horizon)
    )
