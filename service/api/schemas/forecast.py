"""The body of POST /forecast, and its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.api.schemas.finding import FindingAnswer
from service.api.validation import check
from service.datasets.dataset import Finding
from service.domain.json_flaws import describe
from service.domain.recipes.options import MAX_SEASON
from service.domain.recipes.presets import Mode
from service.domain.series import Missing
from service.serving.forecast_plan import AskedMode, ForecastRequest
from service.serving.forecasting import Forecast
from service.serving.postprocess import SeriesForecast
from service.store.layout import NAME_PATTERN

KNOWN_BODIES = 256
LONGEST_NAME = 100
# One of many may be empty: its error stands in its place.
_VALUES = {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}}
_RECORD = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "values": _VALUES, "start": {"type": "string"}},
    "required": ["id", "values"],
    "additionalProperties": False,
}
_SERIES = {
    "anyOf": [
        {**_VALUES, "minItems": 1, "title": "one series"},
        {"type": "array", "items": _VALUES, "minItems": 1, "title": "many series"},
        {"type": "object", "additionalProperties": _VALUES, "minProperties": 1, "title": "series by id"},
        {"type": "array", "items": _RECORD, "minItems": 1, "title": "records"},
        {"type": "null", "title": "none, where a data set is named"},
    ]
}


def _check_version(value: Any) -> Any:
    if value is None or type(value) is int or (type(value) is str and len(value) <= LONGEST_NAME):
        return value
    if type(value) is str:
        raise PydanticCustomError(
            "out_of_bounds",
            "An alias has at most {longest} characters, got {given}.",
            {"longest": LONGEST_NAME, "given": describe(value)},
        )
    raise PydanticCustomError(
        "wrong_type",
        "Expected a version number or an alias, got {given}.",
        {"given": describe(value)},
    )


Version = Annotated[
    Any,
    BeforeValidator(_check_version),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "maxLength": LONGEST_NAME}, {"type": "null"}]}
    ),
]
# Any of the forms of `service.domain.series`.
SeriesJson = Annotated[Any, WithJsonSchema(_SERIES)]
Level = Annotated[float, Field(gt=0, lt=100)]
Quantile = Annotated[float, Field(gt=0, lt=1)]


class ForecastBody(BaseModel):
    """A request for forecasts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # Its numbers are checked where they become arrays, in service.domain.series: once, and with pointers of ours.
    series: SeriesJson = Field(
        None, description="One series, many, series by id, or records; lengths may differ, null is a missing value"
    )
    dataset: str | None = Field(None, max_length=100, description="The id of an upload, in place of `series`")
    model: str | None = Field(
        None, pattern=NAME_PATTERN, description="A stored model's name; by default the store's default model"
    )
    version: Version = Field(None, description="A number or an alias; by default the model's current version")
    mode: AskedMode = Field(
        "auto", description="How to forecast; auto picks the mode that suits the model and the horizon"
    )
    horizon: int | None = Field(
        None, description="Steps ahead; by default 1 in mode one_step, 10 in autoregressive, else the model's own"
    )
    level: list[Level] = Field([], max_length=20, description="Prediction intervals to add, in percent")
    all_steps: bool = Field(False, description="In mode sequence: add the forecast made at every time step")
    missing: Missing = Field("interpolate", description="What stands in for null")
    freq: str | None = Field(None, max_length=100, description="A pandas offset alias; with start, for timestamps")
    start: str | None = Field(None, max_length=100, description="ISO 8601 date-time of each series' first point")
    season: int | None = Field(
        None, ge=1, le=MAX_SEASON, description="Points of the season, of the zero-shot model; by default found"
    )
    quantiles: list[Quantile] = Field([], max_length=99, description="Quantiles to add, beside the forecast")
    non_negative: bool | None = Field(
        None,
        description="Keep forecasts and intervals at zero or above; by default as far as neither this series nor "
        "those of the training ever were below it",
    )
    explain: bool = Field(False, description="Of the zero-shot model: add the weight and the error of each expert")
    fitted: bool = Field(False, description="Add the forecast of each posted point from those before it")
    output: Literal["dataset"] | None = Field(
        None, description="Of an upload: `dataset` makes a job, which writes the forecasts to a file"
    )

    def to_request(self) -> ForecastRequest:
        """The request as the use case takes it, without the series."""
        return ForecastRequest(
            model=self.model,
            version=self.version,
            mode=self.mode,
            horizon=self.horizon,
            level=tuple(self.level),
            all_steps=self.all_steps,
            missing=self.missing,
            freq=self.freq,
            start=self.start,
            season=self.season,
            quantiles=tuple(self.quantiles),
            non_negative=self.non_negative,
            explain=self.explain,
            fitted=self.fitted,
        )


class Asked(NamedTuple):
    """A checked body without its series: the upload's id, if there is one, the request, and whether it is for a job."""

    dataset: str | None
    request: ForecastRequest
    is_job: bool = False


def read_asked(fields: Mapping[str, Any]) -> Asked:
    """What a body asks for; `fields` are all but its series, as parsed.

    Raises:
        InvalidRequest.
    """
    try:
        return _read_known(tuple(fields), tuple(fields.values()), tuple(map(type, fields.values())))
    except TypeError:
        # A list, of levels, has no hash.
        return _read(fields)


# Most requests of a client differ in their series alone. Types are part of the key, since 1 and true are equal.
@lru_cache(KNOWN_BODIES)
def _read_known(names: tuple[str, ...], values: tuple[Any, ...], types: tuple[type, ...]) -> Asked:
    return _read(dict(zip(names, values, strict=True)))


def _read(fields: Mapping[str, Any]) -> Asked:
    body = check(fields, ForecastBody)
    return Asked(body.dataset, body.to_request(), body.output is not None)


class SeriesError(BaseModel):
    """Why a series has no forecast."""

    model_config = ConfigDict(extra="forbid")

    pointer: str
    code: str
    message: str


class Interval(BaseModel):
    """A prediction interval at every step."""

    model_config = ConfigDict(extra="forbid")

    lower: list[float] = Field(description="[horizon]")
    upper: list[float] = Field(description="[horizon]")


class ExpertAnswer(BaseModel):
    """One expert's part in a zero-shot forecast."""

    model_config = ConfigDict(extra="forbid")

    name: str
    weight: float = Field(description="Its share of the forecast, the mean over the steps")
    error: float = Field(description="Its mean absolute error at earlier points of the series")


class SeriesAnswer(BaseModel):
    """One series' forecast, or its error."""

    model_config = ConfigDict(extra="forbid")

    id: str
    values: list[float] | None = Field(None, description="[horizon]")
    starts_after: int | None = Field(
        None, description="If the series ends in nulls: the index of its last number, after which the forecast starts"
    )
    timestamps: list[str] | None = Field(None, description="[horizon]; with freq and start")
    intervals: dict[str, Interval] | None = Field(None, description="By level in percent; with level")
    quantiles: dict[str, list[float]] | None = Field(None, description="By quantile, [horizon]; with quantiles")
    sequence: list[list[float]] | None = Field(None, description="[steps, horizon]; with all_steps")
    season: int | None = Field(None, description="Of the zero-shot model: the season that was found, 1 for none")
    experts: list[ExpertAnswer] | None = Field(None, description="Of the zero-shot model; with explain")
    fitted: list[float | None] | None = Field(
        None, description="As long as the series: the forecast of each point from those before it; with fitted"
    )
    error: SeriesError | None = None


class Timing(BaseModel):
    """Milliseconds in the queue and in the engine."""

    model_config = ConfigDict(extra="forbid")

    queue: float
    compute: float


class ForecastAnswer(BaseModel):
    """Forecasts, in the order of the request."""

    model_config = ConfigDict(extra="forbid")

    model: str
    version: int
    mode: Mode
    horizon: int
    rolled_out: bool = Field(description="Whether forecasts were fed back as input to reach the horizon")
    forecasts: list[SeriesAnswer]
    timing_ms: Timing
    audit: list[FindingAnswer] | None = Field(
        None, description="Of a body that is a table: what was found when it was read, as of an upload"
    )


def to_json(forecast: Forecast, findings: Sequence[Finding] = ()) -> dict[str, Any]:
    """A ForecastAnswer to be written; arrays stay NumPy's."""
    return {**head_to_json(forecast, findings), "forecasts": [series_to_json(series) for series in forecast.series]}


def head_to_json(forecast: Forecast, findings: Sequence[Finding] = ()) -> dict[str, Any]:
    """A ForecastAnswer without its forecasts."""
    head = {
        "model": forecast.model,
        "version": forecast.version,
        "mode": forecast.plan.mode,
        "horizon": forecast.plan.horizon,
        "rolled_out": forecast.plan.rolled_out,
        "timing_ms": {"queue": round(forecast.queue_ms, 3), "compute": round(forecast.compute_ms, 3)},
    }
    return {**head, "audit": [asdict(finding) for finding in findings]} if findings else head


def series_to_json(series: SeriesForecast) -> dict[str, Any]:
    """One series of a ForecastAnswer."""
    if series.flaw is not None:
        flaw = series.flaw
        return {"id": series.id, "error": {"pointer": flaw.pointer, "code": flaw.code, "message": flaw.message}}
    answer: dict[str, Any] = {"id": series.id, "values": series.values}
    if series.starts_after is not None:
        answer["starts_after"] = series.starts_after
    if series.timestamps is not None:
        answer["timestamps"] = series.timestamps
    if series.intervals is not None:
        answer["intervals"] = {level: {"lower": low, "upper": high} for level, (low, high) in series.intervals.items()}
    if series.quantiles is not None:
        answer["quantiles"] = series.quantiles
    if series.season is not None:
        answer["season"] = series.season
    if series.experts is not None:
        answer["experts"] = [expert._asdict() for expert in series.experts]
    if series.fitted is not None:
        answer["fitted"] = series.fitted
    if series.sequence is not None:
        answer["sequence"] = series.sequence
    return answer
