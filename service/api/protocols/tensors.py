"""Tensors of the open inference protocol: in JSON, flat or nested, and in bytes behind it."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.api.json_numbers import to_array
from service.domain.json_flaws import describe, unknown_field, wrong_type
from service.domain.series import NUMBERS_AND_NULL
from service.errors import InvalidRequest

# By datatype, how NumPy reads its bytes.
NUMBERS = {
    "FP64": "<f8", "FP32": "<f4", "FP16": "<f2", "INT64": "<i8", "INT32": "<i4", "INT16": "<i2", "INT8": "<i1",
    "UINT64": "<u8", "UINT32": "<u4", "UINT16": "<u2", "UINT8": "<u1",
}  # fmt: skip
DATATYPES = {np.dtype(code): name for name, code in NUMBERS.items()}
BYTES = "BYTES"
EXPECTED = {**NUMBERS, BYTES: ""}
FIELDS = ("name", "shape", "datatype", "parameters", "data")
REQUIRED, KNOWN = set(FIELDS[:3]), set(FIELDS)
MOST_AXES, MOST_SIZE = 3, 2**40
SIZE = "binary_data_size"
# How long the string is that follows, in bytes.
LENGTH_BYTES = 4


class Tensor(NamedTuple):
    """An input: `values` are an array of its shape, or strings of BYTES one after the other."""

    name: str
    pointer: str
    shape: tuple[int, ...]
    values: NDArray[Any] | list[str]


def read_tensor(entry: Any, pointer: str, rest: memoryview) -> tuple[Tensor, int]:
    """One of a request's `inputs`.

    Args:
        rest: the bytes behind the JSON that no earlier input has taken.

    Returns:
        The tensor, and how many of the bytes are its own. In JSON, null is NaN.

    Raises:
        InvalidRequest.
    """
    if not isinstance(entry, dict):
        raise wrong_type(pointer, "an object with name, shape, datatype and data", entry)
    if not REQUIRED <= entry.keys() <= KNOWN:
        raise _refuse_fields(entry, pointer)
    name, datatype = entry["name"], entry["datatype"]
    if type(name) is not str:
        raise wrong_type(f"{pointer}/name", "a string", name)
    if type(datatype) is not str or datatype not in EXPECTED:
        raise InvalidRequest.at(
            f"{pointer}/datatype",
            "unknown_choice",
            f"Expected a datatype of {', '.join(EXPECTED)}, got {describe(datatype)}.",
        )
    shape = _read_shape(entry["shape"], f"{pointer}/shape")
    parameters = entry.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise wrong_type(f"{pointer}/parameters", "an object", parameters)
    if "shared_memory_region" in parameters:
        raise InvalidRequest.at(
            f"{pointer}/parameters/shared_memory_region",
            "unknown_field",
            "This server shares no memory with its clients: send the data itself.",
        )
    if SIZE not in parameters:
        if "data" not in entry:
            raise InvalidRequest.at(
                f"{pointer}/data", "missing_field", f"The input has no data: add it, or `{SIZE}` and bytes behind."
            )
        return Tensor(name, pointer, shape, _read_json(entry["data"], shape, datatype, f"{pointer}/data")), 0
    size = parameters[SIZE]
    place = f"{pointer}/parameters/{SIZE}"
    if type(size) is not int or not 0 <= size <= len(rest):
        raise InvalidRequest.at(
            place,
            "out_of_bounds",
            f"Expected a number of bytes, at most the {len(rest)} that follow; got {describe(size)}.",
        )
    if "data" in entry:
        raise InvalidRequest.at(place, "conflicting_fields", "Expected either data or bytes, got both.")
    return Tensor(name, pointer, shape, _read_bytes(rest[:size], shape, datatype, place)), size


def write_strings(strings: list[str]) -> bytes:
    """BYTES, each string behind its length."""
    encoded = [text.encode() for text in strings]
    return b"".join(len(text).to_bytes(LENGTH_BYTES, "little") + text for text in encoded)


def _refuse_fields(entry: dict[str, Any], pointer: str) -> InvalidRequest:
    unknown = next((field for field in entry if field not in KNOWN), None)
    if unknown is not None:
        return InvalidRequest([unknown_field(unknown, f"{pointer}/{unknown[:100]}", list(FIELDS))])
    missing = next(field for field in FIELDS[:3] if field not in entry)
    return InvalidRequest.at(f"{pointer}/{missing}", "missing_field", f"The input has no {missing!r}: add it.")


def _read_shape(shape: Any, pointer: str) -> tuple[int, ...]:
    sizes = shape.tolist() if isinstance(shape, np.ndarray) else shape
    is_list = isinstance(sizes, list) and len(sizes) <= MOST_AXES and set(map(type, sizes)) <= {int}
    if not is_list or (sizes and not 0 <= min(sizes) <= max(sizes) < MOST_SIZE):
        raise wrong_type(pointer, f"an array of up to {MOST_AXES} sizes, whole numbers", shape)
    return tuple(sizes)


def _read_json(data: Any, shape: tuple[int, ...], datatype: str, pointer: str) -> NDArray[Any] | list[str]:
    if datatype == BYTES:
        strings = _flatten_strings(data, pointer, len(shape))
        _check_count(len(strings), shape, "strings", pointer)
        return strings
    numbers = _flatten(data, shape, pointer)
    _check_count(len(numbers), shape, "numbers", pointer)
    if not datatype.startswith("FP") and not (numbers == np.floor(numbers)).all():
        raise InvalidRequest.at(pointer, "wrong_type", f"Expected whole numbers, as the datatype is {datatype}.")
    return numbers.reshape(shape)


def _flatten(data: Any, shape: tuple[int, ...], pointer: str) -> NDArray[np.float64]:
    """Numbers of lists in lists one after the other. Raises InvalidRequest where they are no numbers."""
    if isinstance(data, np.ndarray):
        return data
    if not isinstance(data, list):
        raise wrong_type(pointer, "an array of numbers", data)
    types = set(map(type, data))
    if types <= NUMBERS_AND_NULL:
        return to_array(data)
    if not types.isdisjoint((list, np.ndarray)):
        if not shape or len(data) != shape[0]:
            expected = f"{shape[0]} arrays" if shape else "numbers"
            raise InvalidRequest.at(
                pointer, "out_of_bounds", f"Expected {expected}, by the shape {list(shape)}; got {len(data)} arrays."
            )
        parts = []
        for i, item in enumerate(data):
            part = _flatten(item, shape[1:], f"{pointer}/{i}")
            _check_count(len(part), shape[1:], "numbers", f"{pointer}/{i}")
            parts.append(part)
        return np.concatenate(parts) if parts else np.empty(0)
    i = next(i for i, item in enumerate(data) if type(item) not in NUMBERS_AND_NULL)
    raise wrong_type(f"{pointer}/{i}", "a number or null", data[i])


def _flatten_strings(data: Any, pointer: str, depth: int) -> list[str]:
    """Strings of lists in at most `depth` lists, one after the other. Raises InvalidRequest where they are none."""
    if not isinstance(data, list):
        raise wrong_type(pointer, "an array of strings", data)
    strings: list[str] = []
    for i, item in enumerate(data):
        if isinstance(item, list) and depth > 1:
            strings += _flatten_strings(item, f"{pointer}/{i}", depth - 1)
        elif type(item) is str:
            strings.append(item)
        else:
            raise wrong_type(f"{pointer}/{i}", "a string", item)
    return strings


def _read_bytes(data: memoryview, shape: tuple[int, ...], datatype: str, pointer: str) -> NDArray[Any] | list[str]:
    if datatype == BYTES:
        strings = _read_strings(data, pointer)
        _check_count(len(strings), shape, "strings", pointer)
        return strings
    dtype = np.dtype(NUMBERS[datatype])
    expected = math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise InvalidRequest.at(
            pointer,
            "out_of_bounds",
            f"Expected {expected} bytes of {datatype} in the shape {list(shape)}, got {len(data)}.",
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _read_strings(data: memoryview, pointer: str) -> list[str]:
    strings = []
    first = 0
    while first < len(data):
        begin = first + LENGTH_BYTES
        first = begin + int.from_bytes(data[first:begin], "little")
        if begin > len(data) or first > len(data):
            raise InvalidRequest.at(pointer, "out_of_bounds", "A string of the bytes goes on beyond their end.")
        try:
            strings.append(bytes(data[begin:first]).decode())
        except UnicodeDecodeError:
            raise InvalidRequest.at(pointer, "wrong_type", "Expected strings in UTF-8.") from None
    return strings


def _check_count(n: int, shape: tuple[int, ...], what: str, pointer: str) -> None:
    if n != math.prod(shape):
        raise InvalidRequest.at(
            pointer, "out_of_bounds", f"Expected {math.prod(shape)} {what} in the shape {list(shape)}, got {n}."
        )


def check_parameters(given: Any, pointer: str) -> Mapping[str, Any]:
    """The `parameters` of a request or an output. Raises InvalidRequest where they are no object."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise wrong_type(pointer, "an object", given)
    return given
