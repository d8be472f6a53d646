"""The signatures of the zero-shot model that take seasons: what its engine computes, without what /forecast adds."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from service.api.dependencies import Services
from service.api.protocols.tensorflow_predict import Prediction
from service.api.protocols.tensorflow_signatures import TWO_SEASONS
from service.domain.recipes.options import MAX_SEASON
from service.domain.seasons import Seasons
from service.domain.series import PostedSeries, read_all
from service.engines.engine import Series
from service.engines.zero_shot import CombinedRow
from service.errors import Flaw, InvalidRequest
from service.serving.forecast_work import PART_SERIES
from service.serving.zero_shot import combine_rows_here
from service.store.manifest import Manifest

VALUE_BYTES = 40


async def combine_with_seasons(
    request: Request, services: Services, manifest: Manifest, prediction: Prediction
) -> Mapping[str, NDArray[Any]]:
    """The forecast, its unit of errors, and the experts' weights and errors: each [batch, ...].

    Raises:
        InvalidRequest: numbers out of bounds, or a series that can't be forecast.
        QueueFull, TooMuchInFlight, VersionDamaged.
    """
    seasons, horizon = _read_numbers(prediction, services.settings.max_horizon)
    n_series = len(prediction.series) if isinstance(prediction.series, list) else prediction.series.n_series
    n_values = n_series * (2 * horizon + 2 * len(manifest.hyper_parameters["experts"]))
    most = min(services.settings.max_answer_values, services.budget.limit_bytes // VALUE_BYTES)
    if n_values > most:
        raise InvalidRequest.at(
            "/series", "answer_too_large", f"The answer would hold {n_values} numbers: expected at most {most}."
        )
    request.scope["state"]["hold"].grow(VALUE_BYTES * n_values)
    engine = await services.registry.engine(manifest)
    parts = iter([prediction.series] if isinstance(prediction.series, list) else prediction.series)
    reading = threading.Lock()
    answered: list[list[CombinedRow]] = []

    def step() -> bool:
        with reading:
            part = next(parts, None)
            if part is None:
                return False
            place = len(answered)
            answered.append([])
        rows = _read(part, manifest, seasons)
        for first in range(0, len(rows), PART_SERIES):
            some = rows[first : first + PART_SERIES]
            answered[place] += combine_rows_here(engine, some, [seasons] * len(some), horizon)
        return True

    await services.clients.serve(request, services.batcher.run_steps(step))
    combined = [row for part in answered for row in part]
    services.metrics.count_forecasts(manifest.name, manifest.modes[0], len(combined))
    return {
        name: np.stack([getattr(row, name) for row in combined]) for name in ("forecast", "unit", "weights", "errors")
    }


def _read_numbers(prediction: Prediction, max_horizon: int) -> tuple[Seasons, int]:
    pointer = "/instances/0" if prediction.by_row else "/inputs"
    numbers = prediction.numbers
    bounds = {"horizon": max_horizon, "season": MAX_SEASON, "long_season": MAX_SEASON**2}
    for name, value in numbers.items():
        if not 1 <= value <= bounds[name]:
            raise InvalidRequest.at(f"{pointer}/{name}", "out_of_bounds", f"Expected 1 to {bounds[name]}, got {value}.")
    long = numbers["long_season"] if prediction.signature == TWO_SEASONS else 0
    if long and (long % numbers["season"] or long == numbers["season"]):
        raise InvalidRequest.at(
            f"{pointer}/long_season",
            "out_of_bounds",
            f"Expected a multiple of the season, {numbers['season']}, got {long}.",
        )
    return Seasons(numbers["season"], long), numbers["horizon"]


def _read(series: list[PostedSeries], manifest: Manifest, seasons: Seasons) -> list[Series]:
    """What the model reads of each series. Raises InvalidRequest."""
    rows, flaws = [], []
    for posted, read in zip(series, read_all(series, "interpolate"), strict=True):
        if isinstance(read, Flaw):
            flaws.append(read)
        elif len(read.values) < manifest.min_length:
            message = f"{manifest.name!r} needs at least {manifest.min_length} points, got {len(read.values)}."
            flaws.append(Flaw(posted.pointer, "too_short", message))
        else:
            rows.append(read.values[-seasons.points_read :])
    if flaws:
        raise InvalidRequest(flaws)
    return rows
