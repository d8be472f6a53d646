"""The columns of an upload, a batch at a time: values and ids, or the row that holds none."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.datasets.arrow import decode, is_text, shorten
from service.domain.series import FLOAT32_MAX
from service.errors import InvalidRequest

MAX_ID_LENGTH = 1000


def read_numbers(column: Any, first_row: int) -> NDArray[np.float64]:
    """A column of values, NaN for null. Text must hold numbers."""
    column = decode(column)
    kind = column.type
    if not (
        pa.types.is_floating(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
        or is_text(kind)
    ):
        raise InvalidRequest.at("/y", "not_a_number", f"The column 'y' is of type {shorten(kind)}: expected numbers.")
    try:
        numbers = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowInvalid:
        raise _first_bad_number(column, first_row) from None
    beyond = np.abs(numbers) > FLOAT32_MAX
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        raise InvalidRequest.at(
            f"/y/{first_row + row}",
            "out_of_range",
            f"Row {first_row + row + 1} holds {numbers[row]:g} in 'y': expected a magnitude of at most "
            f"{FLOAT32_MAX:.4g}. Send the values in a larger unit.",
        )
    return np.array(numbers)


def read_ids(column: Any, codes: dict[str, int], first_row: int) -> NDArray[np.int32]:
    """Ids as numbers, counted over all batches in the order in which they appear; `codes` goes on counting."""
    encoded = column if pa.types.is_dictionary(column.type) else column.cast(pa.string()).dictionary_encode()
    names = encoded.dictionary.cast(pa.string()).to_pylist()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    nameless = [index for index, name in enumerate(names) if not name]
    absent = (indices < 0) | np.isin(indices, nameless)
    if absent.any():
        row = first_row + int(np.flatnonzero(absent)[0])
        raise InvalidRequest.at(f"/unique_id/{row}", "missing_value", f"Row {row + 1} has no unique_id: add it.")
    longest = max(names, key=len, default="")
    if len(longest) > MAX_ID_LENGTH:
        raise InvalidRequest.at(
            "/unique_id",
            "out_of_bounds",
            f"A unique_id has {len(longest)} characters: expected at most {MAX_ID_LENGTH}.",
        )
    numbers = np.array([codes.setdefault(name, len(codes)) for name in names], np.int32)
    return np.asarray(numbers[indices])


def _first_bad_number(column: Any, first_row: int) -> InvalidRequest:
    for row, value in enumerate(column):
        try:
            value.cast(pa.float64())
        except pa.ArrowInvalid:
            return InvalidRequest.at(
                f"/y/{first_row + row}",
                "not_a_number",
                f"Row {first_row + row + 1} holds {shorten(value)!r} in 'y': expected a number, or nothing where it "
                "is missing.",
            )
    return InvalidRequest.at("/y", "not_a_number", "The column 'y' holds something that is no number.")
