"""The body of POST /train, and what a job looks like."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from service.api.schemas.forecast import SeriesJson
from service.domain.recipes.presets import Head, Normalization
from service.domain.recipes.recipe import AskedScaling, Difference, Initializer, Loss, Optimizer
from service.domain.series import Missing
from service.store.layout import NAME_PATTERN

FIELDS_OF_KIND = {
    "synthetic": {"n_series", "n_steps", "noise", "seed"},
    "series": {"series", "freq", "missing"},
    "dataset": {"id", "freq", "missing"},
}

Count = Annotated[int, Field(ge=1, le=10_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, lt=1)]


class DataBody(BaseModel):
    """What to train on: the chapter's waves, series of one's own, or an upload."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["synthetic", "series", "dataset"] = "synthetic"
    n_series: Annotated[int, Field(ge=10, le=1_000_000)] | None = Field(
        None, description="synthetic: 70 % are for training, 20 % for validation, 10 % for test; by default 10,000"
    )
    n_steps: Annotated[int, Field(ge=2, le=20_000)] | None = Field(
        None, description="synthetic: points of each series; by default window + horizon"
    )
    noise: Annotated[float, Field(ge=0, le=1000)] | None = Field(None, description="synthetic: by default 0.1")
    seed: Seed | None = None
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
    def _check_fields(self) -> "DataBody":
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


class EarlyStoppingBody(BaseModel):
    """Ends the fit when the validation loss no longer falls, and restores the best weights."""

    model_config = ConfigDict(extra="forbid", strict=True)

    patience: Count = Field(5, description="Epochs without a better validation loss")


class EnsembleBody(BaseModel):
    """Several networks of one kind with seeds of their own, whose mean is the forecast."""

    model_config = ConfigDict(extra="forbid", strict=True)

    members: Annotated[int, Field(ge=1, le=10)]


class TuneBody(BaseModel):
    """Searches the options that the request leaves open; the best trial by validation is published."""

    model_config = ConfigDict(extra="forbid", strict=True)

    trials: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="Fits at most; by default 20")
    max_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = Field(
        None, description="No further trial begins after so long; by default 600"
    )


class TrainBody(BaseModel):
    """A model to train. What is left out is as the architecture's preset has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    architecture: str = Field(
        max_length=100,
        description="A preset, `auto` for the best of a few, or `chapter` for one job for each of the chapter's models",
    )
    name: str | None = Field(
        None, pattern=NAME_PATTERN, description="The model's name; by default the architecture. With `chapter` a prefix"
    )
    data: DataBody | None = None
    head: Head | None = None
    window: Count | None = Field(None, description="Points that the model learns to read")
    horizon: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description="Steps that it learns to forecast; of a one-step head on own series, how far it is calibrated",
    )
    scaling: AskedScaling | None = Field(
        None, description="By default none on waves; on own series auto: what validates best"
    )
    log: bool | None = Field(None, description="Own series: learn in logarithms")
    difference: Difference | None = Field(
        None, description="Own series: learn differences; by default against the season"
    )
    season: Annotated[int, Field(ge=1, le=336)] | None = Field(
        None, description="Own series: points of the season; by default from freq and lengths"
    )
    refit: bool | None = Field(
        None, description="Own series: go on with all points once the model has been measured; by default true"
    )
    ensemble: EnsembleBody | None = None
    tune: TuneBody | None = None
    max_windows: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        None, description="Own series: windows drawn in an epoch"
    )
    max_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = Field(
        None, description="When fitting ends; of auto, when the last fit must have ended (600 by default)"
    )
    epochs: Count | None = None
    batch_size: Annotated[int, Field(ge=1, le=100_000)] | None = None
    learning_rate: Annotated[float, Field(gt=0, le=100)] | None = None
    optimizer: Optimizer | None = None
    loss: Loss | None = None
    seed: Seed | None = None
    early_stopping: EarlyStoppingBody | None = None
    units: Annotated[int, Field(ge=1, le=2048)] | None = None
    layers: Annotated[int, Field(ge=1, le=32)] | None = None
    dropout: Share | None = None
    recurrent_dropout: Share | None = None
    normalization: Normalization | None = None
    kernel_initializer: Initializer | None = None
    readout: Literal["dense", "recurrent"] | None = Field(
        None, description="Of simple_rnn and deep_rnn: a dense layer, or a last recurrent unit"
    )


class TrialAnswer(BaseModel):
    """One trial of a tuned job. `loss` is what trials are ranked by: on waves the validation MSE, else its MASE."""

    model_config = ConfigDict(extra="forbid")

    number: int
    state: Literal["complete", "pruned", "diverged"]
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


class JobAnswer(BaseModel):
    """A job. Times are ISO 8601 in UTC."""

    model_config = ConfigDict(extra="forbid")

    id: str
    kind: Literal["train", "backtest"]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    request: dict[str, Any]
    model: str = Field(description="The name that the model is published under, or of the model that is measured")
    submitted_at: str
    started_at: str | None
    finished_at: str | None
    attempt: int = Field(description="Runs begun; a run ends early when its worker dies")
    progress: ProgressAnswer | None
    result: dict[str, Any] | None = Field(
        description="Of a training: model, version and metrics of what was published; of a backtest: its answer"
    )
    error: dict[str, str] | None = Field(description="code and message of a failed job")


class JobsAnswer(BaseModel):
    """Jobs, newest first."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[JobAnswer]
    next_cursor: str | None
