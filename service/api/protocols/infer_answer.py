"""The answers of the open inference protocol's `infer`."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from service.api.protocols.infer_request import ALL_STEPS, FLOATS, FORECAST, IDS, TIMESTAMPS, Infer, WantedOutput
from service.api.protocols.series_tensors import pad_steps, stack
from service.api.protocols.tensors import BYTES, SIZE, find_datatype, write_strings
from service.api.response_stream import PIECE_VALUES
from service.domain.json_flaws import describe
from service.errors import InvalidRequest
from service.serving.forecasting import Forecast
from service.serving.interval_widths import format_level

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
    pieces = [_dumps(head)[:-1] + b',"outputs":[']
    binary: list[bytes] = []
    for i, output in enumerate(wanted):
        if output.name not in made:
            raise _refuse(output.name, i, made)
        shape, values = made[output.name]()
        entry: dict[str, Any] = {
            "name": output.name,
            "datatype": BYTES if isinstance(values, list) else find_datatype(values),
            "shape": list(shape),
        }
        comma = b"," if i else b""
        if output.is_binary:
            data = write_strings(values) if isinstance(values, list) else values.tobytes()
            binary.append(data)
            pieces.append(comma + _dumps({**entry, "parameters": {SIZE: len(data)}}))
        else:
            pieces.append(comma + _dumps(entry)[:-1] + b',"data":[')
            pieces += _write_flat(values)
            pieces.append(b"]}")
    pieces.append(b"]}")
    header = b"".join(pieces) if binary else b""
    return InferAnswer([header, *binary], len(header)) if binary else InferAnswer(pieces, None)


Made = dict[str, Callable[[], tuple[tuple[int, ...], Values]]]


def _make_outputs(infer: Infer, forecast: Forecast) -> Made:
    """What there is to be given, by name, each made when it is asked for: its shape and its values."""
    series = forecast.series
    dtype = FLOATS[infer.datatype]

    def numbers(make: Callable[[], NDArray[np.floating]]) -> Callable[[], tuple[tuple[int, ...], Values]]:
        def convert() -> tuple[tuple[int, ...], Values]:
            array = make()
            with np.errstate(over="ignore"):
                converted = array.astype(dtype, copy=False)
            if not np.isfinite(converted).all():
                raise InvalidRequest.at(
                    "/parameters/output_datatype",
                    "out_of_range",
                    "The answer leaves the range of 32-bit numbers: ask for FP64.",
                )
            return converted.shape, converted

        return convert

    made: Made = {FORECAST: numbers(lambda: stack(series))}
    for level in series[0].intervals or ():
        for side, kind in enumerate(("lower", "upper")):
            made[f"{kind}_{level}"] = numbers(
                lambda level=level, side=side: np.stack([row.intervals[level][side] for row in series])  # type: ignore[misc,index]
            )
    for quantile in series[0].quantiles or ():
        made[f"quantile_{quantile}"] = numbers(
            lambda quantile=quantile: np.stack([row.quantiles[quantile] for row in series])  # type: ignore[misc,index]
        )
    if series[0].timestamps is not None:
        stamps = [stamp for row in series for stamp in row.timestamps or ()]
        made[TIMESTAMPS] = lambda: ((len(series), forecast.plan.horizon), stamps)
    if series[0].sequence is not None:
        made[ALL_STEPS] = numbers(lambda: _stack_steps(forecast))
    if infer.ids is not None or any(output.name == IDS for output in infer.outputs):
        made[IDS] = lambda: ((len(series),), [row.id for row in series])
    return made


def _stack_steps(forecast: Forecast) -> NDArray[np.floating]:
    padded, counts = pad_steps(forecast.series)
    if (counts != counts[0]).any():
        raise InvalidRequest.at(
            "/outputs",
            "out_of_bounds",
            f"The output {ALL_STEPS!r} is of series of one length: these have {counts.min()} to {counts.max()} points.",
        )
    return padded


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


def _write_flat(values: Values) -> Iterator[bytes]:
    flat = values if isinstance(values, list) else values.reshape(-1)
    for first in range(0, len(flat), PIECE_VALUES):
        yield (b"," if first else b"") + _dumps(flat[first : first + PIECE_VALUES])[1:-1]


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
