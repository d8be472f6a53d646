"""What readers of columns share."""

from typing import Any

import pyarrow as pa


def decode(column: Any) -> Any:
    """A column without its dictionary, where it has one."""
    return column.dictionarydecode() if pa.types.is_dictionary(column.type) else column


def is_text(kind: Any) -> bool:
    """Whether a type is one of Arrow's texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def shorten(value: Any) -> str:
    """A value as it is shown in a message."""
    text = str(value)
    return text if len(text) <= 40 else text[:40] + "..."
