"""Tensors of series, as other servers' protocols send them: made into the series of a forecast, and of its answer."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from service.api.answer_memory_estimate import hold_answer
from service.api.dependencies import Services
from service.api.json_series import BULK_BYTES, BulkSeries
from service.api.strict_json import Text
from service.api.untrained_model import explain_missing
from service.domain.json_flaws import describe, wrong_type
from service.domain.series import LONGEST_ID, PostedSeries
from service.errors import MOST_FLAWS, Flaw, InvalidRequest, ModelNotFound
from service.serving.forecast_plan import ForecastRequest
from service.serving.forecast_work import PART_SERIES
from service.serving.forecasting import Forecast
from service.serving.postprocess import SeriesForecast
from service.serving.series_parts import INLINE_SERIES

Array = NDArray[np.float64]
# Values of one series, as they were parsed; in a large body an array.
Row = list[Any] | Array

PIECE_BYTES = 2**18
_LISTS = (list, np.ndarray)
_THREE_AXES = re.compile(rb'"(?:instances|inputs|series|data)"\s*:\s*\[\s*\[\s*\[')
# In a list: a shape or lengths of one number are members of an object.
_ONE_NUMBER = re.compile(rb"([\[,]\s*)\[\s*([-+0-9.eE]+|null)\s*\]")


def drop_last_axis(text: Text) -> Text:
    """A large JSON text with `[x]` made `x` where a tensor has a third axis, which for one variable is of length 1.

    So its series are lists of numbers, which are read without a Python object for each. Raises nothing: what it leaves
    is judged where it is read.
    """
    if len(text) < BULK_BYTES or _THREE_AXES.search(text) is None:
        return text
    pieces = []
    first = 0
    while first < len(text):
        # Between two pieces other threads get the interpreter.
        stop = text.find(b"]", first + PIECE_BYTES) + 1 or len(text)
        pieces.append(_ONE_NUMBER.sub(rb"\1\2", text[first:stop]))
        first = stop
    return b"".join(pieces)


def read_row(value: Any, pointer: str) -> Row:
    """One series [time] or [time, 1] as parsed. What its values are is looked at where they become arrays.

    Raises:
        InvalidRequest: another shape.
    """
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, list):
        raise wrong_type(pointer, "a series: an array of numbers and nulls", value)
    if set(map(type, value)).isdisjoint(_LISTS):
        return value
    row = []
    for i, item in enumerate(value):
        if not isinstance(item, _LISTS) or len(item) != 1:
            shown = f"an array of {len(item)}" if isinstance(item, _LISTS) else describe(item)
            raise InvalidRequest.at(
                f"{pointer}/{i}",
                "wrong_type",
                f"Expected a series of shape [time] or [time, 1], for models are univariate; got {shown}.",
            )
        row.append(float(item[0]) if isinstance(item, np.ndarray) else item[0])
    return [None if value != value else value for value in row]


def read_rows(value: Any, pointer: str) -> list[Row]:
    """Series [batch, time] or [batch, time, 1]; their lengths may differ. Raises InvalidRequest."""
    if not isinstance(value, list) or not value or not isinstance(value[0], _LISTS):
        raise InvalidRequest.at(
            pointer,
            "wrong_type",
            f"Expected series of shape [batch, time, 1] or [batch, time], got {_shape(value)}. One series is "
            "a batch of one: [[..]].",
        )
    return [read_row(row, f"{pointer}/{i}") for i, row in enumerate(value)]


def read_whole(value: Any, pointer: str) -> int:
    """A whole number, which may stand in arrays of length 1. Raises InvalidRequest."""
    while isinstance(value, _LISTS) and len(value) == 1:
        value = value[0]
    if isinstance(value, np.floating | float) and float(value).is_integer():
        return int(value)
    if type(value) is not int:
        raise wrong_type(pointer, "a whole number", value if isinstance(value, int | list | str | None) else None)
    return value


def cut_rows(rows: Sequence[Row], lengths: Sequence[Any], pointer: str) -> list[Row]:
    """Rows without their padding on the right.

    Args:
        lengths: how many points each row has.
        pointer: to the lengths.

    Raises:
        InvalidRequest: not one for each row, or not a number of its points.
    """
    if len(lengths) != len(rows):
        raise InvalidRequest.at(
            pointer, "out_of_bounds", f"Expected a length for each of {len(rows)} series, got {len(lengths)}."
        )
    cut = []
    for i, (row, given) in enumerate(zip(rows, lengths, strict=True)):
        length = read_whole(given, f"{pointer}/{i}")
        if not 0 <= length <= len(row):
            raise InvalidRequest.at(
                f"{pointer}/{i}",
                "out_of_bounds",
                f"Expected a length of 0 to {len(row)}, the points that the series has; got {length}.",
            )
        cut.append(row[:length])
    return cut


def post(
    rows: Sequence[Row], pointer: str, suffix: str = "", ids: Sequence[str] | None = None
) -> list[PostedSeries] | BulkSeries:
    """Rows as series of a request; of many, made in parts when they are read.

    Args:
        pointer: to the rows; `suffix` leads from a row to its values.
        ids: of each row, different ones; by default their numbers.
    """
    if len(rows) <= INLINE_SERIES:
        return _post(rows, pointer, suffix, ids, 0, len(rows))
    starts = range(0, len(rows), PART_SERIES)
    parts: Iterator[list[PostedSeries]] = (
        _post(rows, pointer, suffix, ids, first, first + PART_SERIES) for first in starts
    )
    return BulkSeries(parts, len(rows), sum(map(len, rows)))


def check_ids(ids: Sequence[str], pointer: str) -> None:
    """Raises InvalidRequest where ids are too long, or two are the same."""
    long = next((i for i, name in enumerate(ids) if len(name) > LONGEST_ID), None)
    if long is not None:
        raise InvalidRequest.at(f"{pointer}/{long}", "out_of_bounds", f"An id has at most {LONGEST_ID} characters.")
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        for i, name in enumerate(ids):
            if name in seen:
                raise InvalidRequest.at(
                    f"{pointer}/{i}", "duplicate_id", f"Two series have the id {describe(name)}: ids must differ."
                )
            seen.add(name)


async def forecast_all(request: Request, services: Services, posted: Any, asked: ForecastRequest) -> Forecast:
    """Forecasts of every series, since a tensor has no place for an error.

    Raises:
        InvalidRequest: the request is wrong, or any of its series.
        ServiceError: as POST /forecast.
    """
    answer = await forecast(request, services, posted, asked)
    if answer.n_forecasts < len(answer.series):
        flaws: list[Flaw] = [series.flaw for series in answer.series if series.flaw is not None]
        raise InvalidRequest(flaws[:MOST_FLAWS])
    return answer


async def forecast(request: Request, services: Services, posted: Any, asked: ForecastRequest) -> Forecast:
    """What POST /forecast does: the same memory, limits, queue and deadline, and the same numbers."""
    await hold_answer(request, services, posted, asked)
    try:
        answer = await services.clients.serve(request, services.forecasting.answer(posted, asked))
    except ModelNotFound as error:
        raise await explain_missing(services.jobs, asked.model, error) from error
    services.metrics.count_forecasts(answer.model, answer.plan.mode, answer.n_forecasts)
    return answer


def stack(series: Sequence[SeriesForecast]) -> NDArray[np.floating]:
    """Forecasts [batch, horizon]."""
    if len(series) == 1 and series[0].values is not None:
        return series[0].values[None]
    return np.stack([of_row.values for of_row in series if of_row.values is not None])


def pad_steps(series: Sequence[SeriesForecast], most_values: int) -> tuple[NDArray[np.floating], NDArray[np.int32]]:
    """The forecasts at all steps [batch, steps, horizon], zeros behind a series' own, and how many are its own.

    Raises:
        InvalidRequest: with the zeros there would be more values than may be.
    """
    sequences = [of_row.sequence for of_row in series if of_row.sequence is not None]
    counts = np.array([len(sequence) for sequence in sequences], np.int32)
    n_values = len(counts) * int(counts.max()) * sequences[0].shape[1]
    if n_values > most_values:
        raise InvalidRequest.at(
            "/series",
            "answer_too_large",
            f"The answer would hold {n_values} numbers, zeros behind shorter series included: expected at most "
            f"{most_values}. Send series of about one length together.",
        )
    padded = np.zeros((len(sequences), counts.max(), sequences[0].shape[1]), sequences[0].dtype)
    for i, sequence in enumerate(sequences):
        padded[i, : len(sequence)] = sequence
    return padded, counts


def _post(
    rows: Sequence[Row], pointer: str, suffix: str, ids: Sequence[str] | None, first: int, stop: int
) -> list[PostedSeries]:
    return [
        PostedSeries(str(i) if ids is None else ids[i], f"{pointer}/{i}{suffix}", row)
        for i, row in enumerate(rows[first:stop], first)
    ]


def _shape(value: Any) -> str:
    if isinstance(value, list) and value:
        return f"an array that begins with {describe(value[0])}"
    if isinstance(value, _LISTS):
        return "an array of numbers" if len(value) else "an empty array"
    return describe(value)
