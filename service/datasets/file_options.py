"""Options for reading a file, in place of what would be inferred from it. Standard library only."""

from dataclasses import dataclass
from typing import Any

from service.errors import Flaw, InvalidRequest

DECIMALS = {".": "a point", ",": "a comma"}
# By the sign itself, and by names for those that a shell or an address makes hard to write.
THOUSANDS = {
    ",": ",", ".": ".", " ": " ", "'": "'", "_": "_", "": "",
    "comma": ",", "point": ".", "space": " ", "apostrophe": "'", "underscore": "_", "none": "",
}  # fmt: skip
FORMATS = ("long", "wide")


@dataclass(frozen=True, slots=True)
class FileOptions:
    """The options; None where the file decides.

    `id_column`, `time_column` and `target_column` name columns; `decimal` is the sign of the decimal point and
    `thousands` that of groups of digits, empty for none; `format` is one of `FORMATS`: in a wide file each column of
    values is a series.
    """

    id_column: str | None = None
    time_column: str | None = None
    target_column: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    format: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Those that are given."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


def read_options(given: dict[str, str | None]) -> FileOptions:
    """Options as a person gives them, checked.

    Args:
        given: by the names of `FileOptions`; None is not given.

    Raises:
        InvalidRequest: one that is not known, or does not go with the others; the pointer is the option's name.
    """
    asked = {name: value for name, value in given.items() if value is not None}
    flaws = [
        Flaw(f"/{name}", "out_of_bounds", f"{name} is empty: name a column of the file, or leave it out.")
        for name in ("id_column", "time_column", "target_column")
        if asked.get(name) == ""
    ]
    decimal, thousands, form = asked.get("decimal"), asked.get("thousands"), asked.get("format")
    if decimal is not None and decimal not in DECIMALS:
        message = f"Expected '.' or ',' for decimal, got {decimal!r}."
        flaws.append(Flaw("/decimal", "unknown_choice", message))
    if thousands is not None and thousands not in THOUSANDS:
        message = (
            "Expected ',', '.', a space, an apostrophe, '_' or 'none' for thousands (or comma, point, space, "
            f"apostrophe, underscore), got {thousands!r}."
        )
        flaws.append(Flaw("/thousands", "unknown_choice", message))
    if form is not None and form not in FORMATS:
        flaws.append(Flaw("/format", "unknown_choice", f"Expected 'long' or 'wide' for format, got {form!r}."))
    if form == "wide" and (column := next((name for name in ("id_column", "target_column") if asked.get(name)), None)):
        message = (
            f"A wide file has no {column}: each of its columns is a series. Leave {column} out, or set format=long."
        )
        flaws.append(Flaw(f"/{column}", "conflicting_fields", message))
    if thousands in THOUSANDS and THOUSANDS[thousands] and THOUSANDS[thousands] == decimal:
        message = f"decimal and thousands are both {decimal!r}: they must differ."
        flaws.append(Flaw("/thousands", "conflicting_fields", message))
    if flaws:
        raise InvalidRequest(flaws)
    return FileOptions(**{**asked, **({} if thousands is None else {"thousands": THOUSANDS[thousands]})})
