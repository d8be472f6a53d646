"""The body of POST /backtest, and its answer."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.forecast import Interval, Level, SeriesError, SeriesJson, Version
from service.domain.series import Missing
from service.serving.backtest_plan import BacktestRequest
from service.store.layout import NAME_PATTERN


class BacktestBody(BaseModel):
    """A backtest of a version: forecasts at past origins, scored."""

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
    horizon: int | None = Field(None, description="Steps ahead; by default the model's own")
    windows: Annotated[int, Field(ge=1, le=1000)] = Field(3, description="Forecasts of each series")
    step: Annotated[int, Field(ge=1, le=100_000)] = Field(1, description="Points between two forecasts")
    season: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None,
        description="Points in a season, for seasonal_naive, mase and the zero-shot model; by default the model's, "
        "else the usual one of "
        "`freq`, else 1",
    )
    level: list[Level] = Field(
        [], max_length=20, description="Prediction intervals to measure the coverage of, in percent"
    )
    missing: Missing = Field("interpolate", description="How nulls before an origin are filled")
    freq: str | None = Field(
        None, max_length=100, description="A pandas offset alias, for `season`; by default the upload's"
    )

    forecasts: bool = Field(False, description="Add the forecasts themselves, with their origins")

    def to_request(self) -> BacktestRequest:
        """The request as the use case takes it."""
        return BacktestRequest(
            model=self.model,
            version=self.version,
            horizon=self.horizon,
            windows=self.windows,
            step=self.step,
            season=self.season,
            level=tuple(self.level),
            missing=self.missing,
            forecasts=self.forecasts,
        )


class ScoresAnswer(BaseModel):
    """Errors over all forecast points, in the units of the series; docs/metrics.md says how each is computed."""

    model_config = ConfigDict(extra="forbid")

    mse: float
    rmse: float
    mae: float
    smape: float = Field(description="Percent, 0 to 200")
    mase: float | None = Field(description="null if no series has a scale")
    coverage: dict[str, float] | None = Field(
        None, description="Percent of the points inside the interval, by level; for the model only"
    )


class OverallAnswer(BaseModel):
    """Scores over all series; every point has the same weight."""

    model_config = ConfigDict(extra="forbid")

    model: ScoresAnswer
    naive: ScoresAnswer
    seasonal_naive: ScoresAnswer
    linear: ScoresAnswer | None = Field(None, description="Least squares on the histories before the first origins")


class OriginForecast(BaseModel):
    """What the model forecast at one origin."""

    model_config = ConfigDict(extra="forbid")

    origin: int = Field(description="Index of the first point that is forecast, which is not known yet")
    values: list[float] = Field(description="[horizon]")
    intervals: dict[str, Interval] | None = Field(None, description="By level in percent; with level")


class BacktestSeries(BaseModel):
    """One series' scores, or its error."""

    model_config = ConfigDict(extra="forbid")

    id: str
    model: ScoresAnswer | None = None
    naive: ScoresAnswer | None = None
    seasonal_naive: ScoresAnswer | None = None
    linear: ScoresAnswer | None = None
    forecasts: list[OriginForecast] | None = Field(None, description="By origin, the earliest first; with forecasts")
    error: SeriesError | None = None


class BacktestAnswer(BaseModel):
    """A backtest; its series are in the order of the request."""

    model_config = ConfigDict(extra="forbid")

    model: str
    version: int
    horizon: int
    windows: int
    step: int
    season: int
    overall: OverallAnswer
    left_out: dict[str, str] = Field(description="Baselines that could not be fitted, with the reason")
    series: list[BacktestSeries]
