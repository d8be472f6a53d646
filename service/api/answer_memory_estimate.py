"""Estimates the memory of a forecast's answer before anything is computed."""

import asyncio
from typing import Any

import numpy as np
from starlette.requests import Request

from service.api.dependencies import Services
from service.api.json_series import BulkSeries
from service.domain.panel import Panel
from service.domain.season_detection import LONGEST_SEASON
from service.domain.series import PostedSeries
from service.errors import InvalidRequest, ServiceError
from service.serving.forecast_plan import ForecastRequest

# A number as the model gives it, as 64 bits, and as about ten letters of JSON.
NUMBER_BYTES = 20
# A time stamp as a string, and again as JSON.
STAMP_BYTES = 100
# A series' own names and brackets.
SERIES_BYTES = 400
# The names, weights and errors of experts.
EXPERTS_BYTES = 4000
# Answers that can't be larger are not looked at closely.
SMALL_NUMBERS = 2000


async def hold_answer(request: Request, services: Services, posted: Any, asked: ForecastRequest) -> None:
    """Reserves memory for an answer before it is computed.

    Raises:
        InvalidRequest: alone it would take more than all requests may together.
        TooMuchInFlight: there is no memory left for it now.
    """
    n_series = _count_series(posted)
    most_steps = asked.horizon or services.settings.max_horizon
    per_step = 1 + 2 * len(asked.level) + len(asked.quantiles)
    n_values = n_series * most_steps * per_step
    if n_values <= SMALL_NUMBERS and not asked.all_steps and not asked.explain:
        return
    try:
        manifest = await services.registry.resolve(asked.model, asked.version)
    except ServiceError:
        # Said where it is forecast, for there is more to say.
        return
    own_horizon = LONGEST_SEASON if manifest.is_zero_shot else max(manifest.horizon, 10)
    horizon = min(max(asked.horizon or own_horizon, 1), services.settings.max_horizon)
    n_values = n_series * horizon * per_step
    if asked.all_steps:
        n_values += await asyncio.to_thread(_count_points, posted) * manifest.horizon
    has_stamps = asked.freq is not None or isinstance(posted, Panel)
    n_bytes = (
        NUMBER_BYTES * min(n_values, services.settings.max_answer_values)
        + SERIES_BYTES * n_series
        + (EXPERTS_BYTES * n_series if asked.explain else 0)
        + (STAMP_BYTES * n_series * horizon if has_stamps else 0)
    )
    if n_bytes > services.budget.limit_bytes:
        raise InvalidRequest.at(
            "/series",
            "answer_too_large",
            f"The answer would take about {n_bytes} bytes of memory: expected at most {services.budget.limit_bytes}. "
            "Send fewer series in one request, ask for fewer steps, or leave `freq` out.",
        )
    request.scope["state"]["hold"].grow(n_bytes)


def _count_series(posted: Any) -> int:
    """How many series a request has, whatever its form."""
    if isinstance(posted, BulkSeries | Panel):
        return posted.n_series
    is_many = isinstance(posted, dict) or (
        isinstance(posted, list)
        and bool(posted)
        and isinstance(posted[0], list | dict | np.ndarray | PostedSeries | None)
    )
    return len(posted) if is_many else 1


def _count_points(posted: Any) -> int:
    """How many points they have, at most. It looks at each of them."""
    if isinstance(posted, BulkSeries | Panel):
        return posted.n_points
    if isinstance(posted, dict):
        return sum(len(values) for values in posted.values() if isinstance(values, list | np.ndarray))
    if isinstance(posted, list) and posted and isinstance(posted[0], PostedSeries):
        return sum(len(series.values) for series in posted)
    if isinstance(posted, list) and posted and isinstance(posted[0], list | dict | np.ndarray | None):
        values = [entry.get("values") if isinstance(entry, dict) else entry for entry in posted]
        return sum(len(numbers) for numbers in values if isinstance(numbers, list | np.ndarray))
    return len(posted) if isinstance(posted, list | np.ndarray) else 0
