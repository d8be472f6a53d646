"""The kinds of a file's columns: times, numbers, text, empty, or a row count."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.datasets.arrow_columns import decode, is_text
from service.datasets.cell_patterns import is_number_like, is_numeric_time_like, is_serial_day_like
from service.domain.missing_words import MISSING_WORDS
from service.domain.timestamps import is_time_like

SAMPLE_TEXTS = 200
SAMPLE_ROWS = 100_000
# Different words among a column's times or numbers that may be totals and notes.
MOST_NOTES, NOTES_SHARE = 2, 0.2
# Kinds of columns that hold numbers.
NUMBERS = ("number", "years", "serials")
INDEX_NAMES = ("", "index", "level_0", "rownames")


def kind_of(column: Any) -> str:
    """`time`, `number`, `years` and `serials` (numbers that may be times), `text` or `empty`."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_temporal(kind):
        return "time"
    if pa.types.is_null(kind) or column.null_count == len(column):
        return "empty"
    if not is_text(kind):
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            return "text"
        some = [str(value) for value in column.slice(0, SAMPLE_TEXTS).to_pylist() if value is not None]
        if all(map(is_numeric_time_like, some)):
            return "years"
        return "serials" if all(map(is_serial_day_like, some)) else "number"
    distinct = pc.unique(decode(column.slice(0, SAMPLE_ROWS))).to_pylist()
    texts = [text for text in distinct if text is not None and text.strip().lower() not in MISSING_WORDS]
    if not texts:
        rest = pc.unique(decode(column)).to_pylist()
        texts = [text for text in rest if text is not None and text.strip().lower() not in MISSING_WORDS]
        if not texts:
            return "empty"
    # A note or a total at the end of a column doesn't make it text.
    some = [text for text in texts[:SAMPLE_TEXTS] if any(map(str.isdigit, text))]
    n_words = min(len(texts), SAMPLE_TEXTS) - len(some)
    if n_words > max(MOST_NOTES, NOTES_SHARE * len(some)) or 2 * n_words > len(some) or not some:
        return "text"
    for name, is_like in (
        ("years", is_numeric_time_like),
        ("serials", is_serial_day_like),
        ("time", is_time_like),
        ("number", is_number_like),
    ):
        if sum(map(is_like, some)) >= max(0.8 * len(some), len(some) - 3 if len(some) > 4 else 1):
            return name
    return "text"


def find_index(
    names: Sequence[str], table: pa.Table, kinds: list[str], named: Collection[int], *, has_values: bool
) -> int | None:
    """A column without a name, or called index, that counts the rows from 0 or 1.

    Args:
        named: the columns that have a role by name.
        has_values: whether the values are among those; else another column of numbers has to be left for them.
    """
    counts = [i for i, kind in enumerate(kinds) if kind in NUMBERS]
    for i in counts:
        plain = names[i].strip().lower()
        is_positional = plain.startswith("column ")
        is_nameless = plain in INDEX_NAMES or plain.startswith(("unnamed:", "__index_level_"))
        # What is left has to hold the values.
        if i in named or not (is_nameless or is_positional) or not (has_values or len(counts) > 1):
            continue
        try:
            counted = pc.cast(pc.drop_null(decode(table.column(i)).cast(pa.string())), pa.int64())
        except pa.ArrowInvalid:
            continue
        steps = np.diff(counted.to_numpy())
        counts_all = counted[0].as_py() in (0, 1) and bool((steps == 1).all())
        # A frame of which rows were taken away still counts up; years do so as well.
        if counts_all or (is_nameless and kinds[i] != "years" and (steps > 0).all()):
            return i
    return None
