"""Bodies and answers of the /datasets routes."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.forecast import SeriesJson
from service.datasets.dataset import Dataset


class DatasetBody(BaseModel):
    """Series to keep, in any form that /forecast takes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    series: SeriesJson = Field(description="One series, many, by id, or records; null is a missing value")
    freq: str | None = Field(None, max_length=100, description="A pandas offset alias")
    start: str | None = Field(None, max_length=100, description="ISO 8601 date-time of each series' first point")


class FindingAnswer(BaseModel):
    """Something that a person should know about the series."""

    model_config = ConfigDict(extra="forbid")

    code: str
    id: str | None = Field(description="The series; null for the whole upload")
    message: str


class DatasetSummary(BaseModel):
    """An upload in a list."""

    model_config = ConfigDict(extra="forbid")

    id: str
    created_at: str
    n_series: int
    n_points: int = Field(description="On the regular grids, missing values included")
    freq: str | None
    n_findings: int


class DatasetAnswer(BaseModel):
    """An upload and what its audit found."""

    model_config = ConfigDict(extra="forbid")

    id: str
    created_at: str
    n_series: int
    n_points: int = Field(description="On the regular grids, missing values included")
    freq: str | None
    audit: list[FindingAnswer]


class DatasetsAnswer(BaseModel):
    """Uploads, newest first."""

    model_config = ConfigDict(extra="forbid")

    datasets: list[DatasetSummary]
    next_cursor: str | None


def summarize(dataset: Dataset) -> dict[str, Any]:
    """A DatasetSummary to be written."""
    facts = dataset.to_dict()
    return {**{key: value for key, value in facts.items() if key != "audit"}, "n_findings": len(dataset.audit)}
