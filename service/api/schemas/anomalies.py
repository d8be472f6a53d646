"""The body of POST /anomalies, and its answer."""

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.forecast import Level, SeriesError, SeriesJson, Version
from service.domain.calendar import future_timestamps
from service.domain.recipes.options import MAX_SEASON
from service.domain.series import Missing
from service.serving.anomalies import AnomaliesRequest, Fitted, FittedSeries
from service.serving.backtest_plan import BacktestData
from service.serving.interval_widths import format_level
from service.store.layout import NAME_PATTERN


class AnomaliesBody(BaseModel):
    """A search for points that lie outside the interval of their one-step forecast."""

    model_config = ConfigDict(extra="forbid", strict=True)

    series: SeriesJson = Field(
        None, description="One series, many, series by id, or records; lengths may differ, null is a missing value"
    )
    dataset: str | None = Field(None, max_length=100, description="The id of an upload, in place of `series`")
    model: str | None = Field(
        None, pattern=NAME_PATTERN, description="A stored model's name; by default the store's default model"
    )
    version: Version = Field(None, description="A number or an alias; by default the model's current version")
    level: Level = Field(99, description="The interval, in percent, outside which a point is an anomaly")
    missing: Missing = Field("interpolate", description="What the model reads in place of null")
    freq: str | None = Field(None, max_length=100, description="A pandas offset alias; with start, for timestamps")
    start: str | None = Field(None, max_length=100, description="ISO 8601 date-time of each series' first point")
    season: int | None = Field(
        None, ge=1, le=MAX_SEASON, description="Points of the season, of the zero-shot model; by default found"
    )

    def to_request(self) -> AnomaliesRequest:
        """The request as the use case takes it, without the series."""
        return AnomaliesRequest(self.model, self.version, (self.level,), self.missing, self.season)


class AnomaliesSeries(BaseModel):
    """One series with its one-step forecasts, or its error. Lists are as long as the series."""

    model_config = ConfigDict(extra="forbid")

    id: str
    anomalies: list[int] | None = Field(None, description="Indices of the points outside their interval")
    first: int | None = Field(None, description="Index of the first point that has a forecast")
    values: list[float | None] | None = Field(None, description="The forecast of each point from those before it")
    lower: list[float | None] | None = None
    upper: list[float | None] | None = None
    timestamps: list[str] | None = Field(None, description="With freq and start")
    season: int | None = Field(None, description="Of the zero-shot model: the season that was found, 1 for none")
    error: SeriesError | None = None


class AnomaliesAnswer(BaseModel):
    """The series, in the order of the request."""

    model_config = ConfigDict(extra="forbid")

    model: str
    version: int
    level: float
    series: list[AnomaliesSeries]


def to_json(fitted: Fitted, level: float, data: BacktestData) -> dict[str, Any]:
    """An AnomaliesAnswer to be written; NaN in its arrays is written as null. `data` has the times of the series.

    Raises:
        InvalidRequest: time stamps would pass the year 9999.
    """
    return {
        "model": fitted.manifest.name,
        "version": fitted.manifest.version,
        "level": level,
        "series": [
            _series_to_json(series, format_level(level), data.freq, start, len(values))
            for series, start, values in zip(fitted.series, data.panel.starts, data.panel.values, strict=True)
        ],
    }


def _series_to_json(
    series: FittedSeries, level: str, freq: str | None, start: str | None, n_points: int
) -> dict[str, Any]:
    if series.flaw is not None:
        flaw = series.flaw
        return {"id": series.id, "error": {"pointer": flaw.pointer, "code": flaw.code, "message": flaw.message}}
    lower, upper = series.intervals[level]
    answer: dict[str, Any] = {
        "id": series.id,
        "anomalies": np.flatnonzero(series.is_outside(level)),
        "first": series.first,
        "values": series.values,
        "lower": lower,
        "upper": upper,
    }
    if freq is not None and start is not None:
        answer["timestamps"] = future_timestamps(freq, start, 0, n_points)
    if series.season is not None:
        answer["season"] = series.season
    return answer
