"""The body of POST /train, and the jobs that it asks for."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from service.domain.presets import CHAPTER, Head, Normalization
from service.domain.recipe import Initializer, Loss, Optimizer, Recipe, Scaling
from service.domain.series import describe
from service.domain.settling import resolve
from service.errors import InvalidRequest
from service.store.layout import NAME_PATTERN, is_name

# In place of an architecture: one job for each of the chapter's models.
WHOLE_CHAPTER = "chapter"
# Numbers that a fit holds in memory, inputs and targets together: 800 MB of float32.
MAX_TRAINING_VALUES = 200_000_000

Count = Annotated[int, Field(ge=1, le=10_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, lt=1)]


def _check_kind(kind: str) -> str:
    if kind == "synthetic":
        return kind
    raise PydanticCustomError(
        "data_kind_not_available",
        "This server trains on 'synthetic' data only, the chapter's waves; got {given}.",
        {"given": describe(kind)},
    )


class DataBody(BaseModel):
    """What to train on: the chapter's waves."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Annotated[str, AfterValidator(_check_kind)] = Field("synthetic", json_schema_extra={"enum": ["synthetic"]})
    n_series: Annotated[int, Field(ge=10, le=1_000_000)] | None = Field(
        None, description="70 % are for training, 20 % for validation, 10 % for test; by default 10,000"
    )
    n_steps: Annotated[int, Field(ge=2, le=20_000)] | None = Field(
        None, description="Points of each series; by default window + horizon"
    )
    noise: Annotated[float, Field(ge=0, le=1000)] | None = Field(None, description="By default 0.1")
    seed: Seed | None = None


class EarlyStoppingBody(BaseModel):
    """Ends the fit when the validation loss no longer falls, and restores the best weights."""

    model_config = ConfigDict(extra="forbid", strict=True)

    patience: Count = Field(5, description="Epochs without a better validation loss")


class TrainBody(BaseModel):
    """A model to train. What is left out is as the architecture's preset has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    architecture: str = Field(
        max_length=100, description="A preset, or `chapter` for one job for each of the chapter's models"
    )
    name: str | None = Field(
        None, pattern=NAME_PATTERN, description="The model's name; by default the architecture. With `chapter` a prefix"
    )
    data: DataBody | None = None
    head: Head | None = None
    window: Count | None = Field(None, description="Points that the model learns to read")
    horizon: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="Steps that it learns to forecast")
    scaling: Scaling | None = None
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

    def to_jobs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """For each job to submit, its request as it will be shown, and its task.

        Raises:
            InvalidRequest: options that don't fit the architecture or each other.
        """
        given = self.model_dump(exclude_none=True)
        if self.architecture != WHOLE_CHAPTER:
            return [(given, _make_task(_settle(given)))]
        prefix = "" if self.name is None else f"{self.name}-"
        jobs = []
        for architecture in CHAPTER:
            request = {**given, "architecture": architecture, "name": f"{prefix}{architecture}"}
            if not is_name(request["name"]):
                raise InvalidRequest.at(
                    "/name", "bad_name", f"{request['name']!r} is longer than 100 characters. Choose a shorter prefix."
                )
            applicable = _without_inapplicable(request)
            jobs.append((applicable, _make_task(_settle(applicable))))
        return jobs


class JobBody(BaseModel):
    """How far a fit has come."""

    model_config = ConfigDict(extra="forbid")

    epoch: int
    epochs: int
    loss: float | None
    val_loss: float | None
    eta_seconds: float | None


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
    progress: JobBody | None
    result: dict[str, Any] | None = Field(
        description="Of a training: model, version and metrics of what was published; of a backtest: its answer"
    )
    error: dict[str, str] | None = Field(description="code and message of a failed job")


class JobsAnswer(BaseModel):
    """Jobs, newest first."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[JobAnswer]
    next_cursor: str | None


def _make_task(recipe: Recipe) -> dict[str, Any]:
    return {"kind": "train", "model": recipe.name, "recipe": recipe.to_dict()}


def _settle(request: dict[str, Any]) -> Recipe:
    recipe = resolve(request)
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
    return recipe


def _without_inapplicable(request: dict[str, Any]) -> dict[str, Any]:
    """One of many jobs without the options that its architecture has not, such as the epochs of a naive model."""
    try:
        resolve(request)
    except InvalidRequest as error:
        absent = {flaw.pointer.removeprefix("/") for flaw in error.flaws if flaw.code == "option_not_applicable"}
        return {key: value for key, value in request.items() if key not in absent}
    return request
