"""The answer of GET /leaderboard."""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.store.leaderboard import Group, Metric


class LeaderboardRow(BaseModel):
    """A version, or a baseline that was measured on the same data."""

    model_config = ConfigDict(extra="forbid")

    rank: int | None = Field(description="From 1; equal scores share a rank, and rows without a score have none")
    kind: Literal["model", "baseline"]
    model: str = Field(description="The model's name, or naive, seasonal_naive, linear")
    version: int | None
    architecture: str | None
    is_current: bool = Field(description="Whether a request without a version gets this one")
    scores: dict[str, float | None] = Field(description="mse, rmse, mae, smape, mase; null where not measured")


class LeaderboardData(BaseModel):
    """What the rows of a group were measured on."""

    model_config = ConfigDict(extra="forbid")

    kind: str | None
    digest: str
    n_series: int | None
    freq: str | None


class LeaderboardGroup(BaseModel):
    """Rows whose scores compare, best first."""

    model_config = ConfigDict(extra="forbid")

    data: LeaderboardData
    horizon: int
    metric: Metric = Field(description="What the rows are ranked by")
    rows: list[LeaderboardRow]


class LeaderboardAnswer(BaseModel):
    """Groups of comparable rows; the one with the newest version comes first."""

    model_config = ConfigDict(extra="forbid")

    leaderboard: list[LeaderboardGroup]
    next_cursor: str | None


def to_json(group: Group) -> dict[str, Any]:
    """A LeaderboardGroup to be written."""
    return asdict(group)
