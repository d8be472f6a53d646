"""Series as lists, dicts, records and arrays: made JSON, and cut into parts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from outfielder_client.errors import UnusableInput

# Missing values of pandas have types of their own and can't be asked whether they equal themselves.
MISSING_TYPES = {"NAType", "NaTType"}


def to_json_values(given: Any) -> Any:
    """Lists in place of arrays, columns and tuples; None in place of NaN and of other missing values."""
    if isinstance(given, float):
        return None if given != given else given
    if given is None or isinstance(given, str | int):
        return given
    if isinstance(given, Mapping):
        return {key if isinstance(key, str) else str(key): to_json_values(value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return [to_json_values(value) for value in given]
    if type(given).__name__ in MISSING_TYPES:
        return None
    for method in ("tolist", "to_list"):
        if hasattr(given, method):
            return to_json_values(getattr(given, method)())
    if hasattr(given, "isoformat"):
        return given.isoformat()
    try:
        return float(given)
    except (TypeError, ValueError):
        raise UnusableInput(
            f"Expected series as lists of numbers, arrays or a data frame, got a {type(given).__name__}."
        ) from None


def encode(body: Any) -> bytes:
    """JSON in UTF-8. Raises UnusableInput for infinite numbers, which JSON does not have."""
    try:
        return json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise UnusableInput("A text holds half a character (a lone surrogate), which is no Unicode.") from None
    except ValueError:
        raise UnusableInput("A series holds an infinite number. Put None there if the value is missing.") from None


@dataclass(frozen=True)
class Series:
    """Series in one of the forms of the API, as JSON.

    Attributes:
        form: `one`, `many`, `by_id` or `records`.
        items: the series themselves: values, values by id as pairs, or records.
    """

    form: Literal["one", "many", "by_id", "records"]
    items: Sequence[Any]

    @classmethod
    def read(cls, given: Any) -> "Series":
        """Any form that POST /forecast takes, with arrays or columns in place of lists; anything else as it is."""
        values = to_json_values(given)
        if isinstance(values, dict):
            return cls("by_id", list(values.items()))
        if isinstance(values, list) and values and all(isinstance(value, list) for value in values):
            return cls("many", values)
        if isinstance(values, list) and values and all(isinstance(value, dict) for value in values):
            return cls("records", values)
        return cls("one", [values])

    def ids(self) -> list[Any]:
        """The ids of the series, as the service gives them."""
        if self.form == "by_id":
            return [name for name, _ in self.items]
        return [item.get("id") if self.form == "records" else str(place) for place, item in enumerate(self.items)]

    def to_json(self) -> Any:
        if self.form == "one":
            return self.items[0]
        return dict(self.items) if self.form == "by_id" else list(self.items)

    def count_points(self, index: int) -> int:
        item = self.items[index]
        values = item[1] if self.form == "by_id" else item.get("values") if self.form == "records" else item
        return len(values) if isinstance(values, list) else 1

    def split(self, max_points: int, max_series: int) -> list["Series"]:
        """Parts of at most so many points and series; a longer series is a part of its own."""
        sizes = [self.count_points(index) for index in range(len(self.items))]
        return [Series(self.form, self.items[begin:end]) for begin, end in cut(sizes, max_points, max_series)]


def cut(sizes: Sequence[int], max_points: int, max_series: int) -> list[tuple[int, int]]:
    """Ranges of series whose sizes sum up to at most `max_points`, at most `max_series` each and at least one."""
    ranges = []
    begin = points = 0
    for index, size in enumerate(sizes):
        if index > begin and (points + size > max_points or index - begin >= max_series):
            ranges.append((begin, index))
            begin, points = index, 0
        points += size
    return [*ranges, (begin, len(sizes))] if sizes else [(0, 0)]
