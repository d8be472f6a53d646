"""Bodies and answers of the /datasets routes."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from service.api.schemas.finding import FindingAnswer
from service.api.schemas.forecast import SeriesJson
from service.api.validation import invalid
from service.datasets.dataset import Dataset
from service.datasets.file_options import FileOptions, read_options
from service.domain.json_flaws import escape, unknown_field
from service.errors import Flaw, InvalidRequest


class DatasetBody(BaseModel):
    """Series to keep, in any form that /forecast accepts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    series: SeriesJson = Field(description="One series, many, by id, or records; null is a missing value")
    freq: str | None = Field(None, max_length=100, description="A pandas offset alias")
    start: str | None = Field(None, max_length=100, description="ISO 8601 date-time of each series' first point")


@dataclass
class FileQuery:
    """How to read a CSV or Parquet file; what is left out is inferred from the file."""

    id_column: Annotated[str | None, Query(max_length=1000, description="The column of ids")] = None
    time_column: Annotated[str | None, Query(max_length=1000, description="The column of times")] = None
    target_column: Annotated[str | None, Query(max_length=1000, description="The column of values")] = None
    decimal: Annotated[str | None, Query(description="The decimal point: '.' or ','")] = None
    thousands: Annotated[
        str | None,
        Query(description="The thousands separator: ',', '.', 'space', 'apostrophe', 'underscore' or 'none'"),
    ] = None
    format: Annotated[str | None, Query(description="'long', or 'wide' (each column beside the times is a series)")] = (
        None
    )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The parameters."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """What the parameters mean."""
        return {name: kind.__metadata__[0].description for name, kind in cls.__annotations__.items()}

    @classmethod
    def read(cls, given: Sequence[tuple[str, str]]) -> FileOptions:
        """The options of names and values, read without the framework. Raises InvalidRequest as `to_options`."""
        try:
            return cls(**dict(given)).to_options([name for name, _ in given])
        except ValidationError as error:
            raise invalid(error.errors(include_url=False)) from error

    def to_options(self, given: Sequence[str]) -> FileOptions:
        """The options; `given` are the names of all parameters of the request.

        Raises:
            InvalidRequest: an unknown parameter, one given twice, or an invalid value.
        """
        known = asdict(self)
        flaws = [unknown_field(name, f"/{escape(name)}", list(known)) for name in given if name not in known]
        flaws += [
            Flaw(
                f"/{name}",
                "conflicting_fields",
                f"{name} stands {given.count(name)} times in the address: say it once.",
            )
            for name in known
            if given.count(name) > 1
        ]
        if flaws:
            raise InvalidRequest(flaws)
        return read_options(known)


def refuse_for_json(options: FileOptions) -> None:
    """Raises InvalidRequest for options of a file where JSON was sent, whose form says all."""
    flaws = [
        Flaw(f"/{name}", "option_not_applicable", f"{name} is for CSV and Parquet: JSON says itself what it holds.")
        for name in options.to_dict()
    ]
    if flaws:
        raise InvalidRequest(flaws)


class DatasetSummary(BaseModel):
    """An upload in a list."""

    model_config = ConfigDict(extra="forbid")

    id: str
    created_at: str
    updated_at: str = Field(description="When its content was replaced last; else as created_at")
    n_series: int
    n_points: int = Field(description="Points on the regular time grid, missing values included")
    freq: str | None
    n_findings: int


class DatasetAnswer(BaseModel):
    """An upload and what its audit found."""

    model_config = ConfigDict(extra="forbid")

    id: str
    created_at: str
    updated_at: str = Field(description="When its content was replaced last; else as created_at")
    n_series: int
    n_points: int = Field(description="Points on the regular time grid, missing values included")
    freq: str | None
    audit: list[FindingAnswer]


class DatasetsAnswer(BaseModel):
    """Uploads, newest first."""

    model_config = ConfigDict(extra="forbid")

    datasets: list[DatasetSummary]
    next_cursor: str | None


class SeriesRecordAnswer(BaseModel):
    """A series as it was read."""

    model_config = ConfigDict(extra="forbid")

    id: str
    values: list[float | None] = Field(description="[time]; null where a value is missing")
    freq: str | None = Field(description="A pandas offset alias; null where it is not known")
    start: str | None = Field(description="The time of the first point; null where it is not known")
    timestamps: list[str] | None = Field(description="[time]; with freq and start")


class SeriesPageAnswer(BaseModel):
    """Series of an upload, in its order."""

    model_config = ConfigDict(extra="forbid")

    series: list[SeriesRecordAnswer]
    next_cursor: str | None


def summarize(dataset: Dataset) -> dict[str, Any]:
    """A DatasetSummary to be written."""
    facts = dataset.to_dict()
    return {**{key: value for key, value in facts.items() if key != "audit"}, "n_findings": len(dataset.audit)}
