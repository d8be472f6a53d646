"""The body of POST /train, and what a job looks like."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model, model_validator
from pydantic_core import PydanticCustomError

from service.api.schemas.forecast import SeriesJson
from service.api.schemas.train_choices import describe_architectures, describe_default
from service.domain.recipes.option import REQUIRED, Option
from service.domain.recipes.options import OPTIONS, WAVES
from service.domain.series import Missing
from service.jobs.priority import HIGHEST, LOWEST
from service.store.layout import NAME_PATTERN

FIELDS_OF_KIND = {
    "synthetic": {option.name for option in WAVES},
    "series": {"series", "freq", "missing"},
    "dataset": {"id", "freq", "missing"},
}


class DataRequest(BaseModel):
    """What to train on: the chapter's waves, series of one's own, or an upload."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["synthetic", "series", "dataset"] = "synthetic"
    # Its numbers are checked where they become arrays, in service.domain.series.
    series: SeriesJson = Field(
        None, description="series: one, many, by id, or records; lengths may differ, null is a missing value"
    )
    id: str | None = Field(None, max_length=100, description="dataset: the id of an upload")
    freq: str | None = Field(
        None,
        max_length=100,
        description="series: a pandas offset alias, from which season and horizon follow; dataset: for one without",
    )
    missing: Missing | None = Field(
        None, description="series, dataset: what stands in for null; by default interpolate"
    )

    @model_validator(mode="after")
    def _check_fields(self) -> "DataRequest":
        needed = {"synthetic": None, "series": "series", "dataset": "id"}[self.kind]
        if needed is not None and getattr(self, needed) is None:
            raise PydanticCustomError(
                "missing_field",
                "Data of kind {kind} needs the field {field}: add it.",
                {"kind": self.kind, "field": needed},
            )
        for field in sorted(self.model_fields_set - FIELDS_OF_KIND[self.kind] - {"kind"}):
            if getattr(self, field) is not None:
                raise PydanticCustomError(
                    "option_not_applicable",
                    "Data of kind {kind} has no field {field}. Leave it out, or choose another kind.",
                    {"kind": self.kind, "field": field},
                )
        return self


class TrainRequest(BaseModel):
    """A model to train. What is left out is as the architecture's preset has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    architecture: Annotated[str, WithJsonSchema(describe_architectures())] = Field(
        max_length=100,
        description="A preset, `auto` for the best of a few, or `chapter` for one job for each of the chapter's models",
    )
    name: str | None = Field(
        None, pattern=NAME_PATTERN, description="The model's name; by default the architecture. With `chapter` a prefix"
    )
    data: DataRequest | None = None
    priority: int | None = Field(
        None,
        ge=LOWEST,
        le=HIGHEST,
        description="Jobs of a higher priority are taken first, those of one priority as they were submitted; "
        "by default 0",
    )
    keep_versions: int | None = Field(
        None,
        ge=1,
        description="The most versions of the model that this training leaves, the oldest going first; those that an "
        "alias names stay. By default what OUTFIELDER_KEEP_VERSIONS says, which is also the most",
    )


def make_train_body(options: tuple[Option, ...] = OPTIONS) -> type[TrainRequest]:
    """The body of POST /train: what every request has, and the options of the table."""
    data: Any = create_model("DataBody", __base__=DataRequest, __doc__=DataRequest.__doc__, **_make_fields(WAVES))
    return create_model(
        "TrainBody",
        __base__=TrainRequest,
        __doc__=TrainRequest.__doc__,
        data=(data | None, None),
        **_make_fields(options),
    )


def _make_fields(options: tuple[Option, ...]) -> dict[str, Any]:
    return {option.name: _make_field(option) for option in options}


def _make_field(option: Option) -> tuple[Any, Any]:
    """An option as pydantic wants it: its type, and its default with what else is known of it."""
    if option.fields:
        kind: Any = create_model(
            f"{option.name.title().replace('_', '')}Body",
            __config__=ConfigDict(extra="forbid", strict=True),
            __doc__=option.description,
            **_make_fields(option.fields),
        )
        return kind | None, Field(None, json_schema_extra=describe_default(option))
    known: dict[str, Any] = {
        "description": option.description,
        "json_schema_extra": describe_default(option),
        **option.bounds.given(),
    }
    if option.is_nullable:
        return option.type | None, Field(None, **known)
    return option.type, Field(... if option.default is REQUIRED else option.default, **known)


if TYPE_CHECKING:
    # What of it is used by name is there already; the options are read as a dictionary.
    TrainBody = TrainRequest
else:
    TrainBody = make_train_body()


class TrialAnswer(BaseModel):
    """One trial of a tuned job. `loss` is what trials are ranked by: on waves the validation MSE, else its MASE."""

    model_config = ConfigDict(extra="forbid")

    number: int
    state: Literal["complete", "pruned", "diverged", "failed"]
    options: dict[str, Any]
    epochs: int
    loss: float | None


class ProgressAnswer(BaseModel):
    """How far a fit has come."""

    model_config = ConfigDict(extra="forbid")

    epoch: int
    epochs: int
    loss: float | None
    val_loss: float | None
    eta_seconds: float | None
    trials: list[TrialAnswer] | None = Field(None, description="Of a tuned job: the trials that have ended")
    member: int | None = Field(None, description="After an epoch: which of the job's fits it belongs to, from 1")
    member_epoch: int | None = Field(None, description="After an epoch: which of its fit's epochs it was, from 1")


class JobAnswer(BaseModel):
    """A job. Times are ISO 8601 in UTC."""

    model_config = ConfigDict(extra="forbid")

    id: str
    kind: Literal["train", "backtest", "forecast"]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    request: dict[str, Any]
    model: str = Field(
        description="The name that the model is published under, or of the model that is measured or asked"
    )
    submitted_at: str
    started_at: str | None
    finished_at: str | None
    attempt: int = Field(description="Runs begun; a run ends early when its worker dies")
    progress: ProgressAnswer | None
    result: dict[str, Any] | None = Field(
        description="Of a training: model, version and metrics of what was published; of a backtest: its answer; of a "
        "forecast: the data set that it is kept as, model, version, mode, horizon and counts"
    )
    error: dict[str, str] | None = Field(description="code and message of a failed job")
    retry_of: str | None = Field(description="The id of the job that this one does again")


class JobsAnswer(BaseModel):
    """Jobs, newest first."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[JobAnswer]
    next_cursor: str | None
