"""Turns the body of POST /train into jobs: reads the data, makes the plan. Blocks; not for the event loop."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.api.schemas.train import TrainRequest
from service.datasets.store import DatasetStore, name_inline
from service.domain.calendar import check_starts
from service.domain.forecast_origins import describe_shortage_of
from service.domain.frequency import check_frequency, check_same
from service.domain.intermittency import is_intermittent
from service.domain.panel import Panel
from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.memory_estimate import check_memory
from service.domain.recipes.presets import CHAPTER
from service.domain.recipes.recipe import PanelData
from service.domain.recipes.training_plan import TrainingPlan
from service.domain.series import fill, read_numbers, split, trim
from service.errors import DatasetNotFound, Flaw, InvalidRequest, StorageUnavailable
from service.jobs.database_client import Keep, Submission
from service.store.layout import is_name

# In place of an architecture: one job for each of the chapter's models.
WHOLE_CHAPTER = "chapter"
# Numbers that a fit on waves holds in memory, inputs and targets together: 800 MB of float32.
MAX_TRAINING_VALUES = 200_000_000

Array = NDArray[np.float64]
Lengths = NDArray[np.int64]


def make_jobs(body: TrainRequest, datasets: DatasetStore, memory_bytes: int) -> tuple[list[Submission], Keep | None]:
    """The jobs that a request asks for, and what keeps the series that came with it, for when they are accepted.

    Args:
        memory_bytes: the most that a job may take.

    Raises:
        InvalidRequest: options that don't fit the architecture, the data or each other; data that can't be trained on;
            more memory than a job may take.
        DatasetNotFound.
    """
    given = body.model_dump(exclude_none=True)
    data, lengths, values, keep = (None, None, None, None)
    if body.data is not None and body.data.kind != "synthetic":
        data, lengths, values, keep = _read_data(given["data"], datasets)
        shown = {"kind": data.kind, "digest": data.digest, "n_series": data.n_series, "n_points": data.n_points}
        given["data"] = {**shown, "freq": data.freq} if data.kind == "series" else {**shown, "id": data.id}
    if body.architecture != WHOLE_CHAPTER:
        return [(given, _make_task(_settle(given, data, lengths, values, memory_bytes)))], keep
    prefix = "" if body.name is None else f"{body.name}-"
    jobs = []
    for architecture in CHAPTER:
        request = {**given, "architecture": architecture, "name": f"{prefix}{architecture}"}
        if not is_name(request["name"]):
            raise InvalidRequest.at(
                "/name", "bad_name", f"{request['name']!r} is longer than 100 characters. Choose a shorter prefix."
            )
        applicable = _without_inapplicable(request, data, lengths)
        jobs.append((applicable, _make_task(_settle(applicable, data, lengths, values, memory_bytes))))
    return jobs, keep


def check_data(datasets: DatasetStore, task: dict[str, Any]) -> None:
    """Whether the series that a job's task names are still there; if so, they are not about to expire.

    Raises:
        DatasetNotFound, DatasetDamaged, StorageUnavailable.
    """
    if task["kind"] == "backtest":
        panel_id = task.get("panel")
    else:
        data = TrainingPlan.from_dict(task["plan"]).recipes[0].own_data
        panel_id = None if data is None else data.id
    if panel_id is not None:
        datasets.outline(panel_id)


def keep_panel(datasets: DatasetStore, panel: Panel) -> Callable[[], None]:
    """Keeps series that came with a request for its job. Returns what takes them away again, unless others have them.

    Raises:
        UploadsFull, StorageUnavailable.
    """
    panel_id = name_inline(panel.digest())
    is_known = datasets.has(panel_id)
    datasets.keep(panel)
    return _nothing if is_known else partial(_drop, datasets, panel_id)


def _drop(datasets: DatasetStore, panel_id: str) -> None:
    try:
        datasets.delete(panel_id)
    except (DatasetNotFound, StorageUnavailable):
        # It has expired meanwhile, or will: what was wrong with the request is to be told, and not this.
        return


def _nothing() -> None:
    return None


def _read_data(data: dict[str, Any], datasets: DatasetStore) -> tuple[PanelData, Lengths, list[Array], Keep | None]:
    """The series of a request, how many points each usable one has, and which, NaN for null; and what keeps them."""
    keep = None
    if data["kind"] == "dataset":
        panel, panel_id, pointers = datasets.load(data["id"]), data["id"], ["/data"]
        freq = _agree(panel, data.get("freq"))
    else:
        panel, pointers = _read_series(data["series"], data.get("freq"))
        panel_id, freq = name_inline(panel.digest()), panel.freq
        keep = partial(keep_panel, datasets, panel)
    missing = data.get("missing", "interpolate")
    filled = [fill(pointers[min(i, len(pointers) - 1)], values, missing) for i, values in enumerate(panel.values)]
    refused = [flaw for flaw in filled if isinstance(flaw, Flaw) and flaw.code == "missing_value"]
    if refused:
        raise InvalidRequest(refused)
    flaws = [filled_or_flaw for filled_or_flaw in filled if isinstance(filled_or_flaw, Flaw)]
    if len(flaws) == len(filled):
        raise InvalidRequest(flaws)
    usable = [
        trim(values)
        for values, filled_or_flaw in zip(panel.values, filled, strict=True)
        if not isinstance(filled_or_flaw, Flaw)
    ]
    lengths = np.array([len(values) for values in usable], dtype=np.int64)
    panel_data = PanelData(
        data["kind"],
        panel_id,
        panel.digest(),
        panel.n_series,
        panel.n_points,
        freq,
        missing,
        is_intermittent(panel.values),
    )
    return panel_data, lengths, usable, keep


def _agree(panel: Panel, asked: str | None) -> str | None:
    """The frequency of a data set, or the requested one if it has none."""
    if asked is None:
        return panel.freq
    try:
        if panel.freq is not None:
            check_same(asked, panel.freq)
        check_frequency(asked)
    except InvalidRequest as error:
        raise InvalidRequest([Flaw(f"/data{flaw.pointer}", flaw.code, flaw.message) for flaw in error.flaws]) from error
    return asked if panel.freq is None else panel.freq


def _read_series(posted: Any, freq: str | None) -> tuple[Panel, list[str]]:
    """Inline series as a panel, and where each stands in the request."""
    try:
        series = split(posted)
        check_starts(series, freq)
        numbers = read_numbers(series)
    except InvalidRequest as error:
        raise InvalidRequest([Flaw(f"/data{flaw.pointer}", flaw.code, flaw.message) for flaw in error.flaws]) from error
    ids, starts = tuple(posted_one.id for posted_one in series), tuple(posted_one.start for posted_one in series)
    return Panel(ids, tuple(numbers), starts, freq), [f"/data{posted_one.pointer}" for posted_one in series]


def _make_task(made: TrainingPlan) -> dict[str, Any]:
    return {"kind": "train", "model": made.name, "plan": made.to_dict()}


def _settle(
    request: dict[str, Any],
    data: PanelData | None,
    lengths: Lengths | None,
    values: list[Array] | None,
    memory_bytes: int,
) -> TrainingPlan:
    made = make_training_plan(request, data, lengths)
    if values is not None:
        # What would fail the job is said at once.
        usual = made.recipes[0]
        shortage = describe_shortage_of(values, usual.evaluated_horizon, usual.horizon, usual.min_history)
        if shortage is not None and made.with_one_season:
            # Which read less.
            made = replace(made, recipes=made.with_one_season, with_one_season=())
            usual = made.recipes[0]
            shortage = describe_shortage_of(values, usual.evaluated_horizon, usual.horizon, usual.min_history)
        if shortage is not None:
            raise InvalidRequest.at("/data", "nothing_to_score", shortage)
    for recipe in made.recipes if data is None else ():
        targets = recipe.horizon if recipe.head == "sequence" else 1
        waves = recipe.waves
        n_values = waves.n_series * waves.n_steps * targets
        if n_values > MAX_TRAINING_VALUES:
            raise InvalidRequest.at(
                "/data/n_series",
                "too_much_data",
                f"{waves.n_series} series of {waves.n_steps} points make about {n_values} numbers to train on: "
                f"expected at most {MAX_TRAINING_VALUES}. Ask for fewer or shorter series.",
            )
    check_memory(made, memory_bytes)
    return made


def _without_inapplicable(request: dict[str, Any], data: PanelData | None, lengths: Lengths | None) -> dict[str, Any]:
    """One of many jobs without the options that its architecture has not, such as the epochs of a naive model."""
    try:
        make_training_plan(request, data, lengths)
    except InvalidRequest as error:
        absent = {flaw.pointer.removeprefix("/") for flaw in error.flaws if flaw.code == "option_not_applicable"}
        return {key: value for key, value in request.items() if key not in absent}
    return request
