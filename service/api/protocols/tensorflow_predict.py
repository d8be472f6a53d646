"""The bodies of TensorFlow Serving's `:predict`, by row (`instances`) and by column (`inputs`), and its answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.api.json_response import write_json
from service.api.json_series import BulkSeries
from service.api.protocols.series_tensors import cut_rows, post, read_row, read_rows, read_whole
from service.api.protocols.tensorflow_signatures import DEFAULT, Signature
from service.api.response_stream import PIECE_VALUES
from service.domain.json_flaws import describe, unknown_field, wrong_type
from service.domain.series import PostedSeries
from service.errors import InvalidRequest

FIELDS = ("signature_name", "instances", "inputs")
# What all series share, and no tensor of the service has more of.
SHARED = ("horizon", "season", "long_season")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a body asks for.

    Attributes:
        by_row: whether it came as `instances`, and is answered as `predictions`.
        numbers: what all series share, by the name of the input.
    """

    signature: str
    by_row: bool
    series: list[PostedSeries] | BulkSeries
    numbers: Mapping[str, int]


def read_prediction(body: Mapping[str, Any], find: Callable[[str], Signature]) -> Prediction:
    """What the body of a `:predict` asks for.

    Args:
        find: gives the signature of a name, or refuses it.

    Raises:
        InvalidRequest.
    """
    for name in body:
        if name not in FIELDS:
            raise InvalidRequest([unknown_field(name, f"/{name[:100]}", list(FIELDS))])
    named = body.get("signature_name")
    if named is not None and type(named) is not str:
        raise wrong_type("/signature_name", "a string", named)
    name = named or DEFAULT
    signature = find(name)
    given = [field for field in ("instances", "inputs") if field in body]
    if len(given) != 1:
        raise InvalidRequest.at(
            "",
            "missing_field" if not given else "conflicting_fields",
            f"Expected either `instances` (series by row) or `inputs` (tensors by name), got "
            f"{'both' if given else 'neither'}.",
        )
    if given == ["instances"]:
        return _read_instances(name, signature, body["instances"])
    return _read_inputs(name, signature, body["inputs"])


def write_prediction(outputs: Mapping[str, NDArray[Any]], *, by_row: bool) -> Iterator[bytes]:
    """The JSON of an answer, in pieces.

    Args:
        outputs: by name, each [batch, ...].
    """
    if by_row:
        yield b'{"predictions":['
        n_rows = len(next(iter(outputs.values())))
        values = sum(array.size for array in outputs.values())
        count = max(1, PIECE_VALUES * n_rows // max(1, values))
        for first in range(0, n_rows, count):
            if len(outputs) == 1:
                rows: Any = next(iter(outputs.values()))[first : first + count]
            else:
                rows = [
                    {name: array[i] for name, array in outputs.items()}
                    for i in range(first, min(first + count, n_rows))
                ]
            yield (b"," if first else b"") + write_json(rows)[1:-1]
        yield b"]}"
        return
    yield b'{"outputs":'
    if len(outputs) == 1:
        yield from _write(next(iter(outputs.values())))
    else:
        for i, (name, array) in enumerate(outputs.items()):
            yield (b"," if i else b"{") + write_json(name) + b":"
            yield from _write(array)
        yield b"}"
    yield b"}"


def _read_instances(name: str, signature: Signature, instances: Any) -> Prediction:
    if not isinstance(instances, list | np.ndarray) or not len(instances):
        raise wrong_type("/instances", "an array of series, at least one", instances)
    if isinstance(instances, np.ndarray) or not isinstance(instances[0], list | dict | np.ndarray):
        given = "a number" if isinstance(instances, np.ndarray) else describe(instances[0])
        raise InvalidRequest.at(
            "/instances/0",
            "wrong_type",
            f"Expected each instance to be a series, got {given}: [[1, 2, 3]] is one series of three points, "
            "[[1], [2], [3]] three series of one.",
        )
    if not isinstance(instances[0], dict):
        if len(signature.inputs) > 1:
            raise wrong_type("/instances/0", f"an object with {_list(signature.inputs)}", instances[0])
        return Prediction(
            name, True, post([read_row(row, f"/instances/{i}") for i, row in enumerate(instances)], "/instances"), {}
        )
    for i, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise wrong_type(f"/instances/{i}", f"an object with {_list(signature.inputs)}, as the others", instance)
        _check_names(instance, signature, f"/instances/{i}")
    rows = [read_row(instance["series"], f"/instances/{i}/series") for i, instance in enumerate(instances)]
    if "lengths" in signature.inputs:
        rows = cut_rows(rows, [instance["lengths"] for instance in instances], "/instances/lengths")
    numbers = {}
    for key in signature.inputs:
        if key in SHARED:
            values = {read_whole(instance[key], f"/instances/{i}/{key}") for i, instance in enumerate(instances)}
            if len(values) > 1:
                raise InvalidRequest.at(
                    f"/instances/1/{key}",
                    "conflicting_fields",
                    f"All instances of a request share one {key}, got {min(values)} and {max(values)}: send them in "
                    "several requests.",
                )
            numbers[key] = values.pop()
    return Prediction(name, True, post(rows, "/instances", "/series"), numbers)


def _read_inputs(name: str, signature: Signature, inputs: Any) -> Prediction:
    if not isinstance(inputs, dict):
        if len(signature.inputs) > 1:
            raise wrong_type("/inputs", f"an object with {_list(signature.inputs)}", inputs)
        return Prediction(name, False, post(read_rows(inputs, "/inputs"), "/inputs"), {})
    _check_names(inputs, signature, "/inputs")
    rows = read_rows(inputs["series"], "/inputs/series")
    if "lengths" in signature.inputs:
        lengths = inputs["lengths"]
        if not isinstance(lengths, list | np.ndarray):
            raise wrong_type("/inputs/lengths", "an array of whole numbers", lengths)
        rows = cut_rows(rows, list(lengths), "/inputs/lengths")
    numbers = {key: read_whole(inputs[key], f"/inputs/{key}") for key in signature.inputs if key in SHARED}
    return Prediction(name, False, post(rows, "/inputs/series"), numbers)


def _check_names(given: Mapping[str, Any], signature: Signature, pointer: str) -> None:
    known = list(signature.inputs)
    for key in given:
        if key not in signature.inputs:
            raise InvalidRequest([unknown_field(key, f"{pointer}/{key[:100]}", known)])
    for key in known:
        if key not in given:
            raise InvalidRequest.at(
                f"{pointer}/{key}", "missing_field", f"The input {key!r} is missing: expected {_list(known)}."
            )


def _list(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(repr(name) for name in names)


def _write(array: NDArray[Any]) -> Iterator[bytes]:
    """The rows of an array [batch, ...] as JSON."""
    count = max(1, PIECE_VALUES * len(array) // max(1, array.size))
    for first in range(0, len(array), count):
        yield (b"," if first else b"[") + write_json(array[first : first + count])[1:-1]
    yield b"]"
