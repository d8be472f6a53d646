"""Finds the columns of ids, times and values: by name, by option, or by content."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from service.datasets.arrow_columns import decode, quote
from service.datasets.column_contents import count_distinct, identifies, repeats
from service.datasets.column_kinds import INDEX_NAMES, NUMBERS, find_index, kind_of
from service.datasets.column_names import (
    COLUMNS,
    ID,
    ID_NAMES,
    PARTS_OF_TIME,
    TIME,
    TIME_NAMES,
    VALUE,
    check_names,
    find_named,
    refuse_column,
    show_name,
    show_some,
)
from service.datasets.dataset import Finding
from service.datasets.file_options import FileOptions
from service.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns by their position; `targets` are one, or of a wide file one for each series."""

    targets: tuple[int, ...]
    id: int | None = None
    time: int | None = None
    is_wide: bool = False
    findings: tuple[Finding, ...] = field(default=())


def assign_by_name(names: Sequence[str], options: FileOptions) -> Roles | None:
    """The roles if names alone decide them; None if the content has to.

    Raises:
        InvalidRequest: a column that an option names is not there, or two have the same name.
    """
    check_names(names)
    named = find_named(names, options)
    if options.format == "wide" or VALUE not in named:
        return None
    rest = [i for i in range(len(names)) if i not in named.values()]
    if rest and not (options.target_column and options.id_column and options.time_column):
        return None
    findings = _tell_left_out(names, rest)
    return Roles((named[VALUE],), named.get(ID), named.get(TIME), findings=findings)


def assign(names: Sequence[str], table: pa.Table, options: FileOptions) -> Roles:
    """Roles from what the columns hold.

    Args:
        table: the columns, whole, in the order of `names`.

    Raises:
        InvalidRequest: several readings are possible, or none; the message says which options decide.
    """
    check_names(names)
    named = find_named(names, options)
    kinds = [kind_of(table.column(i)) for i in range(len(names))]
    empty = [i for i, kind in enumerate(kinds) if kind == "empty" and i not in named.values()]
    index = find_index(names, table, kinds, named.values(), has_values=VALUE in named)
    left = [i for i in range(len(names)) if i not in named.values() and i not in empty and i != index]
    roles = _Search(names, table, kinds, options, named, left).find()
    notes = _tell_left_out(names, [i for i in empty if names[i].strip()])
    if index is not None:
        message = f"The file was read without {show_name(names, index)}, which counts the rows."
        notes = (*notes, Finding("columns_assumed", None, message))
    return replace(roles, findings=(*roles.findings, *notes))


class _Search:
    """Searches for the only possible reading of columns without a role by name."""

    def __init__(
        self,
        names: Sequence[str],
        table: pa.Table,
        kinds: list[str],
        options: FileOptions,
        named: dict[str, int],
        left: list[int],
    ) -> None:
        self.names, self.table, self.kinds, self.options, self.named = names, table, kinds, options, named
        self.left = left

    def find(self) -> Roles:
        time = self._find_time()
        numbers = [i for i in self.left if self.kinds[i] in NUMBERS]
        texts = [i for i in self.left if self.kinds[i] in ("text", "time")]
        if self.options.format == "wide":
            return self._read_wide(time, numbers, texts)
        if VALUE in self.named:
            return self._read_around(self.named[VALUE], time, numbers, texts)
        if ID in self.named or self.options.format == "long":
            return self._read_long(time, numbers, texts)
        if len(numbers) == 1 and len(texts) <= 1:
            if texts and time is not None and not self._may_be_ids(texts[0], time):
                raise self._refuse(
                    "unknown_column", f"{quote(self.names[texts[0]])} may be ids or a property of each time"
                )
            return self._finish(numbers[0], time, texts[0] if texts else None)
        if not numbers and len(self.names) == 1:
            message = (
                f"The header {quote(self.names[0])} is one cell, and no row is a number: expected the columns "
                "unique_id,ds,y, with commas, semicolons, tabs or bars between them."
            )
            raise InvalidRequest.at("/columns", "missing_column", message)
        if not numbers:
            raise self._refuse("missing_column", "None of them holds numbers")
        if not texts and time is not None:
            return self._read_many(time, numbers)
        raise self._refuse("unknown_column", "Several readings are possible")

    def _find_time(self) -> int | None:
        """The column of times, taken out of those that are left."""
        if TIME in self.named:
            return self.named[TIME]
        strict = [i for i in self.left if self.kinds[i] == "time"]
        # An index without a name that is no count of rows is one of times.
        named = [i for i in self.left if self.kinds[i] == "years" and self._is_called(i, (*TIME_NAMES, *INDEX_NAMES))]
        named += [i for i in self.left if self.kinds[i] == "serials" and self._is_called(i, TIME_NAMES)]
        if VALUE not in self.named and sum(self.kinds[i] in NUMBERS for i in self.left) < 2:
            # Such numbers are the values where there are no others.
            named = []
        # Whoever reads text as times says what is wrong with it.
        called = [i for i in self.left if self.kinds[i] == "text" and self._is_called(i, TIME_NAMES)]
        for candidates in (strict, named, called):
            if len(candidates) == 1:
                self.left.remove(candidates[0])
                return candidates[0]
        if len(strict) > 1:
            raise self._refuse("unknown_column", f"{len(strict)} of them hold times")
        return None

    def _read_around(self, target: int, time: int | None, numbers: list[int], texts: list[int]) -> Roles:
        """The values are known."""
        if ID in self.named:
            rest = [*numbers, *texts]
            if rest and self.options.target_column is None:
                raise refuse_column(self.names[rest[0]])
            return self._finish(target, time, self.named[ID], rest)
        called = [i for i in [*texts, *numbers] if self._is_called(i, ID_NAMES)]
        if len(texts) > 1:
            raise self._refuse("unknown_column", f"{len(texts)} of them hold text")
        if texts and (time is None or self._may_be_ids(texts[0], time)):
            own, rest = texts[0], numbers
        elif texts:
            own, rest = None, [*numbers, *texts]
        elif len(called) == 1:
            own, rest = called[0], [i for i in numbers if i != called[0]]
        elif len(numbers) == 1 and time is not None and self._repeats(time) and self._identifies(numbers[0], time):
            own, rest = numbers[0], []
        else:
            own, rest = None, numbers
        if rest and (self.options.target_column is None or (own is None and time is not None and self._repeats(time))):
            raise refuse_column(self.names[rest[0]])
        return self._finish(target, time, own, rest)

    def _read_long(self, time: int | None, numbers: list[int], texts: list[int]) -> Roles:
        own = self.named.get(ID)
        if own is None and len(texts) == 1:
            own, texts = texts[0], []
        if own is None and len(numbers) == 2 and time is not None:
            own = self._find_numeric_id(numbers, time)
            numbers = [i for i in numbers if i != own]
        if len(numbers) != 1 or texts:
            code, n = ("unknown_column", len(numbers)) if numbers else ("missing_column", "None")
            raise self._refuse(code, f"{n} of those that may be values hold numbers")
        return self._finish(numbers[0], time, own)

    def _read_many(self, time: int, numbers: list[int]) -> Roles:
        """A column of times and several of numbers: a wide file, or a long one whose ids are numbers."""
        if len(numbers) == 2:
            own = self._find_numeric_id(numbers, time)
            if own is not None:
                return self._finish(next(i for i in numbers if i != own), time, own)
        called = [i for i in numbers if self._is_called(i, ID_NAMES)]
        if self._repeats(time) or called:
            raise self._refuse("unknown_column", "Several readings are possible")
        if time != min(time, *numbers):
            raise self._refuse("unknown_column", f"{len(numbers)} of them hold numbers")
        return self._read_wide(time, numbers, [])

    def _read_wide(self, time: int | None, numbers: list[int], texts: list[int]) -> Roles:
        if VALUE in self.named and self.named[VALUE] not in numbers:
            numbers = sorted([*numbers, self.named[VALUE]])
        if texts:
            message = (
                f"The column {quote(self.names[texts[0]])} holds other things than numbers, but in a wide file each "
                "column beside the times is a series: delete it, or set format=long and name id_column, time_column "
                "and target_column."
            )
            raise InvalidRequest.at("/columns", "unknown_column", message)
        if not numbers:
            raise self._refuse("missing_column", "None of them holds numbers")
        if self.options.format is None and all(PARTS_OF_TIME.fullmatch(self.names[i].strip()) for i in numbers):
            message = (
                f"The columns {show_some(self.names, numbers)} seem to be parts of the times, which go on from row to "
                "row. Write one row for each time, or set format=wide where each column is a series of its own."
            )
            raise InvalidRequest.at("/columns", "unknown_column", message)
        nameless = next((i for i in numbers if not self.names[i].strip()), None)
        if nameless is not None:
            message = f"Column {nameless + 1} has no name, but holds values: name it, or delete it."
            raise InvalidRequest.at("/columns", "missing_column", message)
        many = (
            f"the {len(numbers)} other columns" if len(numbers) > 1 else f"the column {quote(self.names[numbers[0]])}"
        )
        first = "" if time is None else f"{show_name(self.names, time)} holds the times, "
        message = f"The file was read as wide: {first}{many} hold one series each ({show_some(self.names, numbers)})."
        findings = () if self.options.format == "wide" and self.options.time_column else (_assumed(message),)
        return Roles(tuple(numbers), None, time, is_wide=True, findings=findings)

    def _find_numeric_id(self, numbers: list[int], time: int) -> int | None:
        """Which of two columns of numbers holds ids: by name, or because it alone separates rows of one time."""
        called = [i for i in numbers if self._is_called(i, ID_NAMES)]
        if len(called) == 1:
            return called[0]
        if not self._repeats(time):
            return None
        able = [i for i in numbers if self._identifies(i, time)]
        return able[0] if len(able) == 1 else None

    def _finish(self, target: int, time: int | None, own: int | None, left_out: Sequence[int] = ()) -> Roles:
        if own is not None and own not in self.named.values():
            self._check_ids(own, time)
        given = {self.named.get(role) for role in COLUMNS}
        said = {self.options.id_column, self.options.time_column, self.options.target_column}
        parts = [
            f"{show_name(self.names, column)} as the {what}"
            for column, what in ((own, "ids"), (time, "times"), (target, "values"))
            if column is not None and column not in given and self.names[column] not in said
        ]
        findings = (_assumed(f"The file was read with {', '.join(parts)}."),) if parts else ()
        return Roles((target,), own, time, findings=(*findings, *_tell_left_out(self.names, left_out)))

    def _check_ids(self, own: int, time: int | None) -> None:
        """Refuses an inferred column of ids that is a part of the times or names each row."""
        if time is not None and self._is_called(own, TIME_NAMES):
            message = (
                f"The columns {quote(self.names[time])} and {quote(self.names[own])} both seem to hold parts of the "
                "times: write them as one column, such as 2024-01-31 06:00, or set id_column where one holds ids."
            )
            raise InvalidRequest.at("/columns", "unknown_column", message)
        values = decode(self.table.column(own))
        if time is None and len(values) > 1 and count_distinct(values) == len(values):
            message = (
                f"The column {quote(self.names[own])} holds something else in each row, such as {quote(values[0])}: as "
                "ids, each series would have one point. If it holds times, write them in ISO 8601, such as 2024-01-31; "
                "if it holds ids, set id_column, and name the times with time_column."
            )
            raise InvalidRequest.at("/columns", "unknown_column", message)

    def _is_called(self, column: int, names: Sequence[str]) -> bool:
        return self.names[column].strip().lower() in names

    def _repeats(self, time: int) -> bool:
        return repeats(self.table.column(time))

    def _identifies(self, column: int, time: int) -> bool:
        return identifies(self.table.column(column), self.table.column(time))

    def _may_be_ids(self, column: int, time: int) -> bool:
        """Whether a text belongs to series rather than to times, as a holiday does: called so, one, or needed."""
        if self._is_called(column, ID_NAMES) or self._repeats(time):
            return True
        return count_distinct(self.table.column(column)) <= 1

    def _refuse(self, code: str, why: str) -> InvalidRequest:
        shown = show_some(self.names, range(len(self.names)))
        return InvalidRequest.at(
            "/columns",
            code,
            f"The columns are {shown}: expected unique_id,ds,y, or one of times, one of numbers and at most one of "
            f"ids. {why}: name the columns with id_column, time_column and target_column, or set format=wide where "
            "each column of numbers is a series.",
        )


def _tell_left_out(names: Sequence[str], columns: Sequence[int]) -> tuple[Finding, ...]:
    if not columns:
        return ()
    shown = ", ".join(quote(names[i]) for i in columns[:10])
    return (_assumed(f"These columns were left out: {shown}."),)


def _assumed(message: str) -> Finding:
    return Finding("columns_assumed", None, message)
