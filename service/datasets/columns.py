"""Reads columns of values and ids, or says which row has none."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.datasets.arrow_columns import is_text, quote, shorten
from service.datasets.dataset import Finding
from service.datasets.file_options import FileOptions
from service.datasets.number_cells import Locate
from service.datasets.number_formats import read_digits
from service.datasets.upload_limits import UploadLimits
from service.domain.series import FLOAT32_MAX
from service.errors import InvalidRequest

MAX_ID_LENGTH = 1000


def read_numbers(
    column: Any, name: str, locate: Locate, options: FileOptions, delimiter: str | None, n_rows: int
) -> tuple[NDArray[np.float64], list[Finding]]:
    """A chunked column of values, NaN for null, and what was assumed. Text must hold numbers.

    Args:
        n_rows: how many rows each series of a wide file has, whose columns are one behind the other.

    Raises:
        InvalidRequest: a type that holds no numbers, a cell that is none, or one beyond 32-bit floats.
    """
    kind = column.type
    findings: list[Finding] = []
    if is_text(kind):
        numbers, findings = read_digits(
            column,
            locate,
            delimiter=delimiter,
            decimal=options.decimal,
            thousands=options.thousands,
            n_rows=n_rows,
        )
    elif pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        numbers = np.array(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    else:
        message = f"The column {quote(name)} is of type {shorten(kind)}: expected numbers."
        raise InvalidRequest.at(f"/{name}", "not_a_number", message)
    beyond = np.abs(numbers) > FLOAT32_MAX
    if beyond.any():
        index = int(np.flatnonzero(beyond)[0])
        place = locate(index)
        if np.isinf(numbers[index]):
            message = (
                f"Row {place.row} holds {numbers[index]:g} in {quote(place.column)}: expected a finite number, or "
                "nothing where it is missing."
            )
        else:
            message = (
                f"Row {place.row} holds {numbers[index]:g} in {quote(place.column)}: expected a magnitude of at most "
                f"{FLOAT32_MAX:.4g}. Send the values in a larger unit."
            )
        raise place.refuse("out_of_range", message)
    return numbers, findings


def read_ids(
    column: Any, name: str, locate: Locate, limits: UploadLimits, codes: dict[str, int] | None = None
) -> tuple[list[str], NDArray[np.int32]]:
    """The ids of a chunked column in the order in which they appear, and each row's as a number.

    Args: `codes` are the numbers of ids that appeared before; new ones are added.

    Raises:
        InvalidRequest: a row without an id, one that is too long, or more than the limit.
    """
    codes = {} if codes is None else codes
    parts: list[NDArray[np.int32]] = []
    first = 0
    for chunk in column.chunks:
        parts.append(_read_some_ids(chunk, name, codes, locate, first))
        limits.check_series(len(codes))
        first += len(chunk)
    return list(codes), np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _read_some_ids(column: Any, name: str, codes: dict[str, int], locate: Locate, first: int) -> NDArray[np.int32]:
    encoded = column if pa.types.is_dictionary(column.type) else column.cast(pa.string()).dictionary_encode()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    # Of the texts those that stand in a row, in the order of the rows: categories have any order, and some have no row.
    n = len(indices)
    firsts = np.full(len(encoded.dictionary) + 1, n)
    firsts[indices[::-1]] = np.arange(n - 1, -1, -1)
    used = np.flatnonzero(firsts[:-1] < n)
    used = used[np.argsort(firsts[used])]
    texts = [
        None if text is None else text.strip()
        for text in encoded.dictionary.take(pa.array(used)).cast(pa.string()).to_pylist()
    ]
    nameless = [int(firsts[place]) for place, text in zip(used, texts, strict=True) if not text]
    if nameless or firsts[-1] < n:
        place = locate(first + min([*nameless, int(firsts[-1])]))
        message = f"Row {place.row} has no {name}: add it."
        raise InvalidRequest.at(f"/{name}/{place.row - 1}", "missing_value", message)
    longest = max((text or "" for text in texts), key=len, default="")
    if len(longest) > MAX_ID_LENGTH:
        message = f"A {name} has {len(longest)} characters: expected at most {MAX_ID_LENGTH}."
        raise InvalidRequest.at(f"/{name}", "out_of_bounds", message)
    numbers = np.zeros(len(encoded.dictionary), np.int32)
    numbers[used] = [codes.setdefault(text or "", len(codes)) for text in texts]
    return np.asarray(numbers[indices])
