"""Turns the body of POST /train into jobs: reads the data, makes the plan. Blocks; not for the event loop."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.api.schemas.train import TrainRequest
from service.datasets.dataset_ids import name_inline
from service.datasets.store import DatasetStore
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
from service.errors import MOST_FLAWS, DatasetNotFound, Flaw, InvalidRequest, StorageUnavailable
from service.jobs.database_client import Keep, Submission
from service.store.layout import is_name

# In place of an architecture: one job for each of the chapter's models.
WHOLE_CHAPTER = "chapter"
# Numbers that a fit on waves holds in memory, inputs and targets together: 800 MB of float32.
MAX_TRAINING_VALUES = 200_000_000
# Of series that are only to come: enough for whatever they are to be trained with.
STAND_IN_POINTS = 1_000_000

Array = NDArray[np.float64]
Lengths = NDArray[np.int64]


class _TrainingSeries(NamedTuple):
    """What a request trains on: facts, the points [series] of those that can be trained on, and these from first to
    last number, NaN for null, read one by one; and what keeps them for the job, where they came with the request."""

    facts: PanelData
    lengths: Lengths
    read: Callable[[], Iterator[Array]]
    keep: Keep | None = None


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
    series: _TrainingSeries | None = None
    if body.data is not None and body.data.kind != "synthetic":
        series = _read_data(given["data"], datasets)
        data = series.facts
        shown = {"kind": data.kind, "digest": data.digest, "n_series": data.n_series, "n_points": data.n_points}
        given["data"] = {**shown, "freq": data.freq} if data.kind == "series" else {**shown, "id": data.id}
    keep = None if series is None else series.keep
    if body.architecture != WHOLE_CHAPTER:
        return [(given, _make_task(_settle(given, series, memory_bytes)))], keep
    prefix = "" if body.name is None else f"{body.name}-"
    jobs = []
    for architecture in CHAPTER:
        request = {**given, "architecture": architecture, "name": f"{prefix}{architecture}"}
        if not is_name(request["name"]):
            raise InvalidRequest.at(
                "/name", "bad_name", f"{request['name']!r} is longer than 100 characters. Choose a shorter prefix."
            )
        applicable = _without_inapplicable(request, series)
        jobs.append((applicable, _make_task(_settle(applicable, series, memory_bytes))))
    return jobs, keep


def check_options(body: TrainRequest, freq: str | None) -> None:
    """Checks the options of a training on series that are not there yet, as if there were one long one.

    Raises:
        InvalidRequest: options that don't fit the architecture or each other.
    """
    if body.architecture != WHOLE_CHAPTER:
        facts = PanelData("dataset", "", "", 1, STAND_IN_POINTS, freq, "interpolate", False)
        request = {**body.model_dump(exclude_none=True), "data": {"kind": "dataset"}}
        make_training_plan(request, facts, np.array([STAND_IN_POINTS]))


def check_data(datasets: DatasetStore, task: dict[str, Any]) -> None:
    """Whether the series that a job's task names are still there; if so, they are not about to expire.

    Raises:
        DatasetNotFound, DatasetDamaged, StorageUnavailable.
    """
    if "plan" in task:
        data = TrainingPlan.from_dict(task["plan"]).recipes[0].own_data
        panel_id = None if data is None else data.id
    else:
        panel_id = task.get("panel")
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


def _read_data(data: dict[str, Any], datasets: DatasetStore) -> _TrainingSeries:
    """What a request trains on.

    Raises:
        InvalidRequest, DatasetNotFound, DatasetReplaced.
    """
    missing = data.get("missing", "interpolate")
    if data["kind"] == "dataset":
        panel_id = data["id"]
        outline = datasets.outline(panel_id)
        freq = _agree(outline.freq, data.get("freq"))

        def read() -> Iterator[Array]:
            return datasets.load_each(panel_id, outline)

        digest = outline.digest or datasets.load(panel_id).digest()
        return _look(PanelData("dataset", panel_id, digest, len(outline.ids), outline.n_points, freq, missing), read)
    panel, pointers = _read_series(data["series"], data.get("freq"))
    digest = panel.digest()
    facts = PanelData("series", name_inline(digest), digest, panel.n_series, panel.n_points, panel.freq, missing)
    return _look(facts, lambda: iter(panel.values), pointers)._replace(keep=partial(keep_panel, datasets, panel))


def _look(facts: PanelData, read: Callable[[], Iterator[Array]], pointers: Sequence[str] = ()) -> _TrainingSeries:
    """Looks at series one by one: of an upload they are never in memory together.

    Args:
        pointers: where each stands in the request; none for all in one place.

    Raises:
        InvalidRequest: one has a missing value where none may be, or no one can be trained on.
    """
    flaws: list[Flaw] = []
    refused: list[Flaw] = []
    lengths: list[int] = []
    is_usable = np.zeros(facts.n_series, np.bool_)

    def look() -> Iterator[Array]:
        for i, values in enumerate(read()):
            flaw = fill(pointers[i] if pointers else "/data", values, facts.missing)
            if not isinstance(flaw, Flaw):
                is_usable[i] = True
                lengths.append(len(trim(values)))
            elif flaw.code == "missing_value":
                refused.append(flaw)
            elif len(flaws) < MOST_FLAWS:
                flaws.append(flaw)
            if len(refused) == MOST_FLAWS:
                raise InvalidRequest(refused)
            yield values

    facts = replace(facts, is_intermittent=is_intermittent(look()))
    if refused:
        raise InvalidRequest(refused)
    if not lengths:
        raise InvalidRequest(flaws)

    def read_usable() -> Iterator[Array]:
        return (trim(values) for values, usable in zip(read(), is_usable, strict=True) if usable)

    return _TrainingSeries(facts, np.array(lengths, dtype=np.int64), read_usable)


def _agree(freq: str | None, asked: str | None) -> str | None:
    """The frequency of a data set, or the requested one if it has none."""
    if asked is None:
        return freq
    try:
        if freq is not None:
            check_same(asked, freq)
        check_frequency(asked)
    except InvalidRequest as error:
        raise InvalidRequest([Flaw(f"/data{flaw.pointer}", flaw.code, flaw.message) for flaw in error.flaws]) from error
    return asked if freq is None else freq


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


def _settle(request: dict[str, Any], series: _TrainingSeries | None, memory_bytes: int) -> TrainingPlan:
    made = replace(_plan(request, series), keep_versions=request.get("keep_versions"))
    if series is not None:
        # What would fail the job is said at once.
        shortage = _find_shortage(made, series)
        if shortage is not None and made.with_one_season:
            # Which read less.
            made = replace(made, recipes=made.with_one_season, with_one_season=())
            shortage = _find_shortage(made, series)
        if shortage is not None:
            raise InvalidRequest.at("/data", "nothing_to_score", shortage)
    for recipe in made.recipes if series is None else ():
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


def _plan(request: dict[str, Any], series: _TrainingSeries | None) -> TrainingPlan:
    return make_training_plan(request) if series is None else make_training_plan(request, series.facts, series.lengths)


def _find_shortage(made: TrainingPlan, series: _TrainingSeries) -> str | None:
    usual = made.recipes[0]
    return describe_shortage_of(
        series.read(), series.lengths, usual.evaluated_horizon, usual.horizon, usual.min_history
    )


def _without_inapplicable(request: dict[str, Any], series: _TrainingSeries | None) -> dict[str, Any]:
    """One of many jobs without the options that its architecture has not, such as the epochs of a naive model."""
    try:
        _plan(request, series)
    except InvalidRequest as error:
        absent = {flaw.pointer.removeprefix("/") for flaw in error.flaws if flaw.code == "option_not_applicable"}
        return {key: value for key, value in request.items() if key not in absent}
    return request
