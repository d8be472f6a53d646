"""The answers of the open inference protocol's `infer`."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.api.json_response import write_json
from service.api.protocols.infer_request import ALL_STEPS, FLOATS, FORECAST, IDS, TIMESTAMPS, Infer, WantedOutput
from service.api.protocols.series_tensors import stack
from service.api.protocols.tensors import BYTES, DATATYPES, SIZE, write_strings
from service.api.response_stream import PIECE_VALUES
from service.domain.json_flaws import describe
from service.errors import InvalidRequest
from service.serving.forecasting import Forecast
from service.serving.interval_widths import format_level
from service.serving.postprocess import SeriesForecast

Values = NDArray[Any] | list[str]


class InferAnswer(NamedTuple):
    """The pieces of an answer. `header_bytes` is how much of it is JSON, None where all is."""

    pieces: list[bytes]
    header_bytes: int | None


def write_answer(infer: Infer, forecast: Forecast) -> InferAnswer:
    """The answer to an `infer`. Raises InvalidRequest for an output that the request does not lead to."""
    made = _make_outputs(infer, forecast)
    wanted = infer.outputs or [WantedOutput(name, infer.is_binary) for name in made]
    head: dict[str, Any] = {"model_name": forecast.model, "model_version": str(forecast.version)}
    if infer.id is not None:
        head["id"] = infer.id
    plan = forecast.plan
    head["parameters"] = {"mode": plan.mode, "horizon": plan.horizon, "rolled_out": plan.rolled_out}
    entries: list[dict[str, Any]] = []
    binary: list[bytes] = []
    n_values = 0
    for i, output in enumerate(wanted):
        if output.name not in made:
            raise _refuse(output.name, i, made)
        shape, values = made[output.name]()
        datatype = BYTES if isinstance(values, list) else DATATYPES[values.dtype]
        entry: dict[str, Any] = {"name": output.name, "datatype": datatype, "shape": shape}
        if output.is_binary:
            data = write_strings(values) if isinstance(values, list) else values.tobytes()
            binary.append(data)
            entry["parameters"] = {SIZE: len(data)}
        else:
            entry["data"] = values if isinstance(values, list) else values.reshape(-1)
            n_values += len(entry["data"])
        entries.append(entry)
    is_short = n_values <= PIECE_VALUES
    pieces = [write_json({**head, "outputs": entries})] if is_short else list(_write_long(head, entries))
    if not binary:
        return InferAnswer(pieces, None)
    header = b"".join(pieces)
    return InferAnswer([header, *binary], len(header))


Shaped = tuple[tuple[int, ...], Values]
Made = dict[str, Callable[[], Shaped]]


def _make_outputs(infer: Infer, forecast: Forecast) -> Made:
    """What there is to be given, by name, each made when it is asked for: its shape and its values."""
    series = forecast.series
    first = series[0]
    dtype = FLOATS[infer.datatype]
    made: Made = {FORECAST: lambda: _convert(stack(series), dtype)}
    for level in first.intervals or ():
        for side, kind in enumerate(("lower", "upper")):
            made[f"{kind}_{level}"] = partial(_make_bound, series, level, side, dtype)
    for quantile in first.quantiles or ():
        made[f"quantile_{quantile}"] = partial(_make_quantile, series, quantile, dtype)
    if first.timestamps is not None:
        stamps = [stamp for row in series for stamp in row.timestamps or ()]
        made[TIMESTAMPS] = lambda: ((len(series), forecast.plan.horizon), stamps)
    if first.sequence is not None:
        made[ALL_STEPS] = lambda: _convert(_stack_steps(forecast), dtype)
    if infer.ids is not None or (infer.outputs and IDS in {output.name for output in infer.outputs}):
        made[IDS] = lambda: ((len(series),), [row.id for row in series])
    return made


def _make_bound(series: Sequence[SeriesForecast], level: str, side: int, dtype: type[np.floating]) -> Shaped:
    return _convert(np.stack([row.intervals[level][side] for row in series if row.intervals is not None]), dtype)


def _make_quantile(series: Sequence[SeriesForecast], quantile: str, dtype: type[np.floating]) -> Shaped:
    return _convert(np.stack([row.quantiles[quantile] for row in series if row.quantiles is not None]), dtype)


def _convert(array: NDArray[np.floating], dtype: type[np.floating]) -> Shaped:
    """The shape of an array, and its numbers. Raises InvalidRequest where they are too large for the type."""
    with np.errstate(over="ignore"):
        converted = array.astype(dtype, copy=False)
    if dtype is np.float32 and not np.isfinite(converted).all():
        raise InvalidRequest.at(
            "/parameters/output_datatype",
            "out_of_range",
            "The answer leaves the range of 32-bit numbers: ask for FP64.",
        )
    return converted.shape, converted


def _stack_steps(forecast: Forecast) -> NDArray[np.floating]:
    sequences = [row.sequence for row in forecast.series if row.sequence is not None]
    counts = {len(sequence) for sequence in sequences}
    if len(counts) > 1:
        raise InvalidRequest.at(
            "/outputs",
            "out_of_bounds",
            f"The output {ALL_STEPS!r} is of series of one length: these have {min(counts)} to {max(counts)} points.",
        )
    return np.stack(sequences)


def _refuse(name: str, i: int, made: Made) -> InvalidRequest:
    kind, _, number = name.partition("_")
    # The same level, written in another way: lower_80.0.
    if kind in ("lower", "upper", "quantile") and f"{kind}_{format_level(float(number))}" in made:
        expected = f"{kind}_{format_level(float(number))}"
        return InvalidRequest.at(f"/outputs/{i}/name", "unknown_choice", f"Expected the name {expected}, got {name}.")
    needed = "Give the parameters `freq` and `start`." if name == TIMESTAMPS else f"There are: {', '.join(made)}."
    return InvalidRequest.at(
        f"/outputs/{i}/name", "unknown_choice", f"This request has no output {describe(name)}. {needed}"
    )


def _write_long(head: dict[str, Any], entries: list[dict[str, Any]]) -> Iterator[bytes]:
    """The JSON of an answer in pieces, so that none takes long to write."""
    yield write_json(head)[:-1] + b',"outputs":['
    for i, entry in enumerate(entries):
        comma = b"," if i else b""
        flat = entry.pop("data", None)
        if flat is None:
            yield comma + write_json(entry)
            continue
        yield comma + write_json(entry)[:-1] + b',"data":['
        for first in range(0, len(flat), PIECE_VALUES):
            yield (b"," if first else b"") + write_json(flat[first : first + PIECE_VALUES])[1:-1]
        yield b"]}"
    yield b"]}"
