"""Options that several commands share."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Url = Annotated[str | None, typer.Option(help="The server's URL; by default from OUTFIELDER_HOST and OUTFIELDER_PORT.")]
Key = Annotated[str | None, typer.Option(help="An API key of the server.", envvar="OUTFIELDER_API_KEY")]
Host = Annotated[str | None, typer.Option(help="The address to listen on.")]
Port = Annotated[int | None, typer.Option(help="The port to listen on.", min=0, max=65535)]
SeriesFile = Annotated[
    Path,
    typer.Argument(
        help="CSV, TSV or Parquet, long (unique_id,ds,y or other names) or wide; a column of numbers; or "
        "JSON as for POST /forecast. - is standard input.",
        callback=lambda file: check_file(file),
    ),
]
Version = Annotated[str | None, typer.Option(help="A version's number or alias.")]
IdColumn = Annotated[str | None, typer.Option(help="The file's column of ids.")]
TimeColumn = Annotated[str | None, typer.Option(help="The file's column of times.")]
TargetColumn = Annotated[str | None, typer.Option(help="The file's column of values.")]
Decimal = Annotated[str | None, typer.Option(help="The file's decimal point: '.' or ','.")]
Thousands = Annotated[
    str | None, typer.Option(help="The file's thousands separator: ',', '.', space, apostrophe, underscore or none.")
]
Form = Annotated[str | None, typer.Option("--format", help="long, or wide (each column is a series).")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Listen beyond this machine without an API key.")]


def check_file(file: Path | None) -> Path | None:
    """Standard input, or a file that is there; anything else is wrong usage."""
    if file is None or str(file) == "-" or file.is_file():
        return file
    what = "is a folder" if file.is_dir() else "does not exist"
    raise typer.BadParameter(f"file {str(file)!r} {what}.")


def read_version(text: str | None) -> int | str | None:
    """Digits are a number; anything else can only be an alias."""
    return int(text) if text is not None and text.isdigit() else text


def parse_options(options: list[str]) -> dict[str, Any]:
    """FIELD=JSON pairs; what is no JSON is taken as a string."""
    fields: dict[str, Any] = {}
    for option in options:
        field, equals, text = option.partition("=")
        if not equals:
            raise typer.BadParameter(f"expected FIELD=JSON, got {option!r}.")
        try:
            fields[field] = json.loads(text)
        except json.JSONDecodeError:
            fields[field] = text
    return fields
