"""The body of the open inference protocol's `infer`: what it asks for, and its series."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from service.api.json_numbers import BodyLimits
from service.api.json_series import BulkSeries
from service.api.protocols.series_tensors import check_ids, cut_rows, post, read_whole
from service.api.protocols.tensors import Tensor, check_parameters, read_tensor
from service.api.schemas.forecast import read_asked
from service.domain.json_flaws import describe, unknown_field, wrong_type
from service.domain.series import PostedSeries
from service.errors import Flaw, InvalidRequest
from service.serving.forecast_plan import ForecastRequest

# The path names the model; KServe's client names it here as well.
FIELDS = ("id", "parameters", "inputs", "outputs", "model_name", "model_version")
KNOWN = set(FIELDS)
INPUTS = ("series", "lengths", "horizon", "ids")
# Parameters with the names and meanings of /forecast; lists may be texts, as the protocol's own have no lists.
LISTS = ("level", "quantiles")
OPTIONS = ("mode", "horizon", "missing", "freq", "start", "season", "non_negative", *LISTS)
# The protocol's own, and those of its clients.
BINARY_OUTPUT, DATATYPE = "binary_data_output", "output_datatype"
# They say how a request is to be queued, which it is not here; the time that a client gives is a header.
IGNORED = ("priority", "timeout", "content_type", "headers")
PARAMETERS = (*OPTIONS, BINARY_OUTPUT, DATATYPE, *IGNORED)
FLOATS: dict[str, type[np.floating]] = {"FP64": np.float64, "FP32": np.float32}
FORECAST, IDS, TIMESTAMPS, ALL_STEPS = "forecast", "ids", "timestamps", "all_steps"
LONGEST_ID = 1000
KNOWN_REQUESTS = 256
_BOUND = re.compile(r"(lower|upper|quantile)_([0-9]{1,2}(?:\.[0-9]{1,8})?)\Z")


class WantedOutput(NamedTuple):
    """An output that the request names, and whether its data are to be bytes."""

    name: str
    is_binary: bool


class Infer(NamedTuple):
    """What an `infer` asks for.

    Attributes:
        id: the request's, to be given back; None without.
        outputs: those that are named; none for all there are, in bytes if `is_binary`.
        datatype: of the numbers of the answer.
        ids: of the series, None for numbers.
    """

    id: str | None
    series: list[PostedSeries] | BulkSeries
    asked: ForecastRequest
    outputs: Sequence[WantedOutput]
    is_binary: bool
    datatype: str
    ids: list[str] | None


def read_infer(
    body: Mapping[str, Any], rest: memoryview, limits: BodyLimits, name: str, version: int | str | None
) -> Infer:
    """What the body of an `infer` asks for.

    Args:
        body: the JSON.
        rest: the bytes behind it.
        name, version: those of the path.

    Raises:
        InvalidRequest.
    """
    if not body.keys() <= KNOWN:
        unknown = next(field for field in body if field not in KNOWN)
        raise InvalidRequest([unknown_field(unknown, f"/{unknown[:100]}", list(FIELDS))])
    named = body.get("model_name")
    if named is not None and (type(named) is not str or named != name):
        raise InvalidRequest.at(
            "/model_name",
            "conflicting_fields",
            f"The path names the model {name!r}: expected the same name, or none, got {describe(body['model_name'])}.",
        )
    request_id = body.get("id")
    if request_id is not None and (type(request_id) is not str or len(request_id) > LONGEST_ID):
        raise wrong_type("/id", f"a string of up to {LONGEST_ID} characters", request_id)
    parameters = check_parameters(body.get("parameters"), "/parameters")
    for key in parameters:
        if key.startswith("sequence_"):
            raise InvalidRequest.at(
                f"/parameters/{key[:100]}",
                "unknown_field",
                "This server keeps nothing between two requests: send each series with its whole past.",
            )
        if key not in PARAMETERS:
            raise InvalidRequest([unknown_field(key, f"/parameters/{key[:100]}", list(OPTIONS))])
    tensors = _read_inputs(body.get("inputs"), rest)
    is_binary = _read_bool(parameters.get(BINARY_OUTPUT, False), f"/parameters/{BINARY_OUTPUT}")
    outputs = _read_outputs(body.get("outputs"), is_binary)
    series, n_series, ids = _read_series(tensors, limits)
    datatype = parameters.get(DATATYPE, "FP64")
    if type(datatype) is not str or datatype not in FLOATS:
        raise InvalidRequest.at(
            f"/parameters/{DATATYPE}", "unknown_choice", f"Expected FP64 or FP32, got {describe(datatype)}."
        )
    asked = _read_options(parameters, tensors.get("horizon"), outputs, n_series)
    return Infer(request_id, series, _with_version(asked, name, version), outputs, is_binary, datatype, ids)


def _read_inputs(inputs: Any, rest: memoryview) -> dict[str, Tensor]:
    if not isinstance(inputs, list) or not inputs:
        raise wrong_type("/inputs", "an array of tensors, `series` among them", inputs)
    tensors: dict[str, Tensor] = {}
    for i, entry in enumerate(inputs):
        tensor, size = read_tensor(entry, f"/inputs/{i}", rest)
        rest = rest[size:]
        if tensor.name not in INPUTS:
            flaw = unknown_field(tensor.name, f"/inputs/{i}/name", list(INPUTS))
            message = flaw.message.replace("There is no field", "There is no input").replace("Fields:", "Inputs:")
            raise InvalidRequest([Flaw(flaw.pointer, flaw.code, message)])
        if tensor.name in tensors:
            raise InvalidRequest.at(
                f"/inputs/{i}/name", "duplicate_id", f"Two inputs have the name {describe(tensor.name)}."
            )
        tensors[tensor.name] = tensor
    if len(rest):
        raise InvalidRequest.at(
            "/inputs",
            "out_of_bounds",
            f"{len(rest)} bytes stand behind those of the inputs: expected none. Check binary_data_size.",
        )
    if "series" not in tensors:
        raise InvalidRequest.at("/inputs", "missing_field", "The input 'series' is missing: add it.")
    return tensors


def _read_series(
    tensors: Mapping[str, Tensor], limits: BodyLimits
) -> tuple[list[PostedSeries] | BulkSeries, int, list[str] | None]:
    series = tensors["series"]
    values, shape = series.values, series.shape
    if isinstance(values, list):
        raise InvalidRequest.at(f"{series.pointer}/datatype", "wrong_type", "Expected numbers, got BYTES.")
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 1)) or not shape[0]:
        raise InvalidRequest.at(
            f"{series.pointer}/shape",
            "out_of_bounds",
            f"Expected the shape [batch, time] or [batch, time, 1], for models are univariate; got {list(shape)}. One "
            "series is a batch of one.",
        )
    n_series = shape[0]
    limits.check_series(n_series)
    limits.check_values(math.prod(shape))
    rows: Any = values.reshape(shape[:2])
    if "lengths" in tensors:
        lengths = _numbers(tensors["lengths"])
        # Python's numbers are looked at one by one several times faster.
        rows = cut_rows(rows, lengths.reshape(-1).tolist(), tensors["lengths"].pointer)
    ids = None
    if "ids" in tensors:
        given = tensors["ids"]
        if not isinstance(given.values, list) or len(given.values) != n_series:
            raise InvalidRequest.at(
                given.pointer, "out_of_bounds", f"Expected ids of datatype BYTES, one for each of {n_series} series."
            )
        ids = given.values
        check_ids(ids, f"{given.pointer}/data")
    return post(rows, f"{series.pointer}/data", ids=ids), n_series, ids


def _numbers(tensor: Tensor) -> Any:
    if isinstance(tensor.values, list):
        raise InvalidRequest.at(f"{tensor.pointer}/datatype", "wrong_type", "Expected whole numbers, got BYTES.")
    return tensor.values


def _read_outputs(outputs: Any, is_binary: bool) -> list[WantedOutput]:
    if outputs is None:
        return []
    if not isinstance(outputs, list):
        raise wrong_type("/outputs", "an array of objects with names", outputs)
    wanted: list[WantedOutput] = []
    names = set()
    for i, entry in enumerate(outputs):
        if not isinstance(entry, dict) or type(entry.get("name")) is not str:
            raise wrong_type(f"/outputs/{i}", "an object with a name", entry)
        name = entry["name"]
        if name not in (FORECAST, IDS, TIMESTAMPS, ALL_STEPS) and _BOUND.match(name) is None:
            raise InvalidRequest.at(
                f"/outputs/{i}/name",
                "unknown_choice",
                f"Expected an output named {FORECAST}, {IDS}, {TIMESTAMPS}, {ALL_STEPS}, or a bound such as lower_80, "
                f"upper_80 or quantile_0.9; got {describe(name)}.",
            )
        if name in names:
            raise InvalidRequest.at(f"/outputs/{i}/name", "duplicate_id", f"The output {name!r} is named twice.")
        names.add(name)
        parameters = check_parameters(entry.get("parameters"), f"/outputs/{i}/parameters")
        for key in ("classification", "shared_memory_region"):
            if parameters.get(key):
                raise InvalidRequest.at(
                    f"/outputs/{i}/parameters/{key}",
                    "unknown_field",
                    "Expected no such parameter: forecasts are no classes, and this server shares no memory with its "
                    "clients.",
                )
        place = f"/outputs/{i}/parameters/binary_data"
        wanted.append(WantedOutput(name, _read_bool(parameters.get("binary_data", is_binary), place)))
    return wanted


def _read_options(
    parameters: Mapping[str, Any], horizon: Tensor | None, outputs: Sequence[WantedOutput], n_series: int
) -> ForecastRequest:
    """The parameters as POST /forecast has them, with the horizon that is an input and the levels of named outputs."""
    fields = {name: parameters[name] for name in OPTIONS if name in parameters}
    for name in LISTS:
        if name in fields:
            fields[name] = _read_list(fields[name], f"/parameters/{name}")
    if horizon is not None:
        steps = {read_whole(value, horizon.pointer) for value in _numbers(horizon).reshape(-1).tolist()}
        if len(steps) != 1 or math.prod(horizon.shape) not in (1, n_series):
            raise InvalidRequest.at(
                horizon.pointer, "out_of_bounds", "Expected one horizon, which all series of a request share."
            )
        named = fields.get("horizon", min(steps))
        if type(named) is not int or steps != {named}:
            raise InvalidRequest.at(
                "/parameters/horizon", "conflicting_fields", "The horizon is an input as well, and another one."
            )
        fields["horizon"] = steps.pop()
    for output in outputs:
        bound = _BOUND.match(output.name)
        if bound is not None:
            name = "quantiles" if bound[1] == "quantile" else "level"
            given = fields.setdefault(name, [])
            if float(bound[2]) not in given:
                fields[name] = [*given, float(bound[2])]
        elif output.name == ALL_STEPS:
            fields["all_steps"] = True
            fields.setdefault("mode", "sequence")
    try:
        return read_asked(fields).request
    except InvalidRequest as error:
        raise InvalidRequest(
            [Flaw(f"/parameters{flaw.pointer}", flaw.code, flaw.message) for flaw in error.flaws]
        ) from None


# Most requests of a client differ in their series alone.
@lru_cache(KNOWN_REQUESTS)
def _with_version(asked: ForecastRequest, name: str, version: int | str | None) -> ForecastRequest:
    return replace(asked, model=name, version=version)


def _read_list(value: Any, pointer: str) -> list[Any]:
    """Numbers, one of them, or a text of them with commas between: `80`, `"80,95"`."""
    if isinstance(value, str):
        try:
            return [float(part) for part in value.strip("[] ").split(",")]
        except ValueError:
            raise wrong_type(pointer, "numbers with commas between, such as '80,95'", value) from None
    return value.tolist() if isinstance(value, np.ndarray) else value if isinstance(value, list) else [value]


def _read_bool(value: Any, pointer: str) -> bool:
    if type(value) is not bool:
        raise wrong_type(pointer, "true or false", value)
    return value
