"""Bodies of the TimeGPT v2 protocol: series one behind the other, with their sizes.

Members that this service has no use for are let through, as clients of other versions send others; what would change
the numbers is refused.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from service.api.json_numbers import BodyLimits
from service.domain.frequency import check_frequency
from service.domain.json_flaws import wrong_type
from service.domain.panel import Panel
from service.domain.series import PostedSeries, cut, read_numbers
from service.errors import MOST_FLAWS, Flaw, InvalidRequest

Array = NDArray[np.float64]
# In place of them the store's default model answers.
FOREIGN_MODELS = ("timegpt", "azureai")
# One a model's own, the names of the chapter's losses there.
LOSSES = {"default": None, "mae": "mae", "mse": "mse"}


class SeriesBody(BaseModel):
    """Series one behind the other."""

    model_config = ConfigDict(extra="ignore")

    y: Any
    sizes: list[int] = Field(min_length=1)
    X: Any = None
    X_future: Any = None
    start_datetime: list[str] | None = None


class TimeGptBody(BaseModel):
    """What all requests have."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    series: SeriesBody
    model: str = ""
    freq: str | None = None
    finetuned_model_id: str | None = None
    multivariate: bool = False
    model_parameters: Any = None


class ForecastBody(TimeGptBody):
    """POST /v2/forecast."""

    h: int = Field(ge=1)
    level: list[float] | None = Field(None, max_length=50)
    finetune_steps: int = Field(0, ge=0)
    finetune_loss: str = "default"
    feature_contributions: bool = False


class CrossValidationBody(TimeGptBody):
    """POST /v2/cross_validation."""

    h: int = Field(ge=1)
    n_windows: int = Field(1, ge=1, le=1000)
    step_size: int | None = Field(None, ge=1)
    level: list[float] | None = Field(None, max_length=50)
    finetune_steps: int = Field(0, ge=0)
    full_history: bool = False


class AnomalyBody(TimeGptBody):
    """POST /v2/anomaly_detection."""

    level: float = Field(99, gt=0, lt=100)


class OnlineAnomalyBody(AnomalyBody):
    """POST /v2/online_anomaly_detection."""

    h: int = Field(ge=1)
    detection_size: int = Field(ge=1)
    step_size: int | None = Field(None, ge=1)
    threshold_method: Literal["univariate", "multivariate"] = "univariate"
    finetune_steps: int = Field(0, ge=0)


class FineTuneBody(TimeGptBody):
    """POST /v2/finetune."""

    finetune_steps: int = Field(10, ge=1, le=10_000)
    finetune_loss: str = "default"
    output_model_id: str | None = None


def read_panel(body: TimeGptBody, limits: BodyLimits) -> Panel:
    """The series of a body, named by their places. Blocks where they are many.

    Raises:
        InvalidRequest: sizes that don't add up, values that are no numbers, features, an unknown frequency.
    """
    series = body.series
    if series.X is not None or series.X_future is not None:
        raise _unsupported("/series/X", "exogenous features", "Leave them out: forecasts come from the series alone.")
    if body.multivariate:
        raise _unsupported("/multivariate", "forecasts of series together", "Set multivariate to false.")
    if body.model_parameters:
        raise _unsupported("/model_parameters", "parameters of a model", "Leave them out.")
    if body.freq is not None:
        check_frequency(body.freq)
    if not isinstance(series.y, list | np.ndarray):
        raise wrong_type("/series/y", "an array of numbers and nulls", series.y)
    sizes = series.sizes
    limits.check_series(len(sizes))
    limits.check_values(len(series.y))
    [values] = read_numbers([PostedSeries("0", "/series/y", series.y)])
    if min(sizes) < 1 or sum(sizes) != len(values):
        raise InvalidRequest.at(
            "/series/sizes",
            "out_of_bounds",
            f"Expected sizes of at least 1 that add up to the {len(values)} values of y, got a sum of {sum(sizes)}.",
        )
    names = tuple(map(str, range(len(sizes))))
    return Panel(names, tuple(cut(values, np.cumsum(sizes))), (None,) * len(sizes), body.freq)


def find_model(body: TimeGptBody) -> str | None:
    """The name of the model that is asked for; None for the store's default one."""
    if body.finetuned_model_id:
        return body.finetuned_model_id
    name = body.model.strip()
    return None if not name or name.lower().startswith(FOREIGN_MODELS) else name


def read_levels(levels: list[float] | None) -> tuple[float, ...]:
    """The levels in percent; the median, which clients ask for as level 0, needs none."""
    return tuple(sorted({level for level in levels or () if level > 0}))


def refuse_steps(steps: int) -> None:
    """Raises InvalidRequest where a model is to be fine-tuned on the way, which takes longer than a request may."""
    if steps:
        raise _unsupported(
            "/finetune_steps",
            "fine-tuning inside this request",
            "Fine-tune first (POST /v2/finetune), then name the model as finetuned_model_id.",
        )


def read_loss(loss: str) -> str | None:
    """The option `loss` of a training; None for the preset's. Raises InvalidRequest for a loss that it has not."""
    if loss not in LOSSES:
        raise InvalidRequest.at(
            "/finetune_loss", "unknown_choice", f"Expected one of {', '.join(LOSSES)}, got {loss[:40]!r}."
        )
    return LOSSES[loss]


def raise_flaws(flaws: list[Flaw | None]) -> None:
    """Raises InvalidRequest where any series can't be forecast: answers of this protocol have no place for errors."""
    found = [flaw for flaw in flaws if flaw is not None]
    if found:
        raise InvalidRequest(found[:MOST_FLAWS])


def _unsupported(pointer: str, what: str, advice: str) -> InvalidRequest:
    return InvalidRequest.at(pointer, "not_supported", f"This service does not support {what}. {advice}")
