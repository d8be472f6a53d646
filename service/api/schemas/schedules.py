"""Bodies and answers of the /schedules routes."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from service.api.schemas.datasets import FileQuery
from service.api.schemas.train import TrainBody
from service.datasets.file_options import FileOptions, read_options
from service.domain.series import Missing
from service.errors import Flaw, InvalidRequest

CRON = (
    "When to train: minute, hour, day of month, month, day of week, such as `0 3 * * 1` for Mondays at three; or "
    "`@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`"
)
TIMEZONE = "The IANA time zone of the expression, such as `Europe/Berlin`"
TRAIN = "The body of POST /train that is submitted each time. Its data is an upload, or the chapter's waves"
PAUSED = "Whether it waits until somebody resumes it"


class SourceBody(BaseModel):
    """A file in an object store, CSV or Parquet, read anew for each run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: str = Field(max_length=2000, description="`s3://bucket/key`, below a folder of OUTFIELDER_SOURCES")
    id_column: str | None = Field(None, max_length=1000, description="The column of ids")
    time_column: str | None = Field(None, max_length=1000, description="The column of times")
    target_column: str | None = Field(None, max_length=1000, description="The column of values")
    decimal: str | None = Field(None, description="The decimal point, as of POST /datasets")
    thousands: str | None = Field(None, description="The thousands separator, as of POST /datasets")
    format: str | None = Field(None, description="`long` or `wide`")
    freq: str | None = Field(None, max_length=100, description="A pandas offset alias, for a file without times")
    missing: Missing | None = Field(None, description="What stands in for missing values; by default interpolate")

    def to_options(self) -> FileOptions:
        """How to read the file. Raises InvalidRequest."""
        given = {name: getattr(self, name) for name in FileQuery.names()}
        try:
            return read_options(given)
        except InvalidRequest as error:
            raise InvalidRequest(
                [Flaw(f"/source/{flaw.pointer.lstrip('/')}", flaw.code, flaw.message) for flaw in error.flaws]
            ) from error

    def to_data(self, dataset_id: str) -> dict[str, Any]:
        """The `data` of POST /train for the upload that the file was kept as."""
        data = {"kind": "dataset", "id": dataset_id, "freq": self.freq, "missing": self.missing}
        return {name: value for name, value in data.items() if value is not None}


class ScheduleBody(BaseModel):
    """Training that repeats."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cron: str = Field(max_length=200, description=CRON)
    timezone: str = Field("UTC", max_length=100, description=TIMEZONE)
    train: TrainBody = Field(description=TRAIN)
    source: SourceBody | None = Field(None, description="A file to train on, in place of the data of `train`")
    paused: bool = Field(False, description=PAUSED)

    @model_validator(mode="after")
    def _check_data(self) -> "ScheduleBody":
        _check_train(self.train)
        if self.source is not None and self.train.data is not None:
            raise PydanticCustomError(
                "conflicting_fields", "Both source and the data of train are given. Leave one of them out."
            )
        return self


class ScheduleChange(BaseModel):
    """What to change of a schedule; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cron: str | None = Field(None, max_length=200, description=CRON)
    timezone: str | None = Field(None, max_length=100, description=TIMEZONE)
    train: TrainBody | None = Field(None, description=TRAIN)
    paused: bool | None = Field(None, description=PAUSED)

    @model_validator(mode="after")
    def _check_change(self) -> "ScheduleChange":
        if not self.model_fields_set:
            raise PydanticCustomError(
                "missing_field", "Expected at least one of the fields cron, timezone, train and paused, got none."
            )
        _check_train(self.train)
        return self


def _check_train(train: TrainBody | None) -> None:
    if train is not None and train.data is not None and train.data.kind == "series":
        raise PydanticCustomError(
            "schedule_needs_dataset",
            "A schedule would train on the same series again and again. Upload them (POST /datasets), train on "
            '{"kind": "dataset", "id": ..}, and replace the upload when there are new points (PUT /datasets).',
        )


class ScheduledRunAnswer(BaseModel):
    """One time that a schedule was due."""

    model_config = ConfigDict(extra="forbid")

    due_at: str
    jobs: list[str] = Field(description="The ids of the jobs that were submitted")
    dataset: str | None = Field(description="The upload that the source's file was kept as")
    error: dict[str, str] | None = Field(description="Why no job was submitted: `code` and `message`")


class ScheduleAnswer(BaseModel):
    """A schedule. Times are ISO 8601 in UTC."""

    model_config = ConfigDict(extra="forbid")

    id: str
    cron: str
    timezone: str
    train: dict[str, Any]
    source: dict[str, Any] | None
    paused: bool
    created_at: str
    next_at: str | None = Field(description="null while it is paused")
    runs: list[ScheduledRunAnswer] = Field(description="The last twenty, newest first")


class SchedulesAnswer(BaseModel):
    """All schedules, newest first."""

    model_config = ConfigDict(extra="forbid")

    schedules: list[ScheduleAnswer]
    next_cursor: None
