"""Answers of the /examples routes."""

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.datasets import SeriesRecordAnswer


class ExampleSummary(BaseModel):
    """An example in a list."""

    model_config = ConfigDict(extra="forbid")

    name: str
    title: str
    description: str
    source: str
    n_series: int
    freq: str | None = Field(description="A pandas offset alias; null where the series have no times")
    season: int | None = Field(description="Points of the season; null where there is none")


class ExampleAnswer(ExampleSummary):
    """An example with its series."""

    series: list[SeriesRecordAnswer]


class ExamplesAnswer(BaseModel):
    """All examples."""

    model_config = ConfigDict(extra="forbid")

    examples: list[ExampleSummary]
    next_cursor: str | None
