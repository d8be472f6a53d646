"""Options that several commands share."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.completion import complete_models, complete_versions

READING, SERVER = "Reading the file", "Server"

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Url = Annotated[
    str | None,
    typer.Option(help="The server's URL; by default from OUTFIELDER_HOST and OUTFIELDER_PORT.", rich_help_panel=SERVER),
]
Key = Annotated[
    str | None,
    typer.Option(help="An API key of the server.", envvar="OUTFIELDER_API_KEY", rich_help_panel=SERVER),
]
Host = Annotated[str | None, typer.Option(help="The address to listen on.")]
Port = Annotated[int | None, typer.Option(help="The port to listen on.", min=0, max=65535)]
_SERIES_FILE = typer.Argument(
    help="CSV, TSV or Parquet, long (unique_id,ds,y or other names) or wide; a column of numbers; or "
    "JSON as for POST /forecast. - is standard input.",
    callback=lambda file: check_file(file),
)
SeriesFile = Annotated[Path, _SERIES_FILE]
SeriesFileIfAny = Annotated[Path | None, _SERIES_FILE]
Model = Annotated[
    str | None,
    typer.Option(help="A stored model; by default the server's default model.", autocompletion=complete_models),
]
Version = Annotated[str | None, typer.Option(help="A version's number or alias.", autocompletion=complete_versions)]
Level = Annotated[
    list[str] | None,
    typer.Option(metavar="PERCENT", help="A prediction interval, in percent; several as --level 80,95 or repeated."),
]
Quantile = Annotated[
    list[str] | None,
    typer.Option(metavar="SHARE", help="A quantile, between 0 and 1; several as --quantile 0.1,0.9 or repeated."),
]
Series = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="A series of the file, by its id; repeat it for more.")
]
Season = Annotated[int | None, typer.Option(help="Points in a season; by default found.")]
IdColumn = Annotated[str | None, typer.Option(help="The file's column of ids.", rich_help_panel=READING)]
TimeColumn = Annotated[str | None, typer.Option(help="The file's column of times.", rich_help_panel=READING)]
TargetColumn = Annotated[str | None, typer.Option(help="The file's column of values.", rich_help_panel=READING)]
Decimal = Annotated[str | None, typer.Option(help="The file's decimal point: '.' or ','.", rich_help_panel=READING)]
Thousands = Annotated[
    str | None,
    typer.Option(
        help="The file's thousands separator: ',', '.', space, apostrophe, underscore or none.",
        rich_help_panel=READING,
    ),
]
Form = Annotated[
    str | None, typer.Option("--format", help="long, or wide (each column is a series).", rich_help_panel=READING)
]
Freq = Annotated[
    str | None,
    typer.Option(
        help="A pandas offset alias, if the file has too few time stamps to infer it.", rich_help_panel=READING
    ),
]
Horizon = Annotated[int | None, typer.Option(help="Steps ahead; by default the model's own.")]
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


def read_levels(given: list[str] | None) -> list[float] | None:
    """Levels in percent, each once; None where none is given. Anything else is wrong usage."""
    levels = _read_numbers(given, "--level", "a percentage between 0 and 100, such as 80", "%")
    for level in levels:
        if not 0 < level < 100:
            message = f"expected a percentage between 0 and 100, such as 80, got {level:g}."
            raise typer.BadParameter(message, param_hint="--level")
        if level <= 1:
            message = f"levels are in percent: for {100 * level:g} % say {100 * level:g}, not {level:g}."
            raise typer.BadParameter(message, param_hint="--level")
    return levels or None


def read_quantiles(given: list[str] | None) -> list[float] | None:
    """Quantiles, each once; None where none is given. Anything else is wrong usage."""
    quantiles = _read_numbers(given, "--quantile", "a number between 0 and 1, such as 0.9")
    for quantile in quantiles:
        if not 0 < quantile < 1:
            hint = f" For {quantile:g} % say {quantile / 100:g}." if 1 <= quantile < 100 else ""
            message = f"expected a number between 0 and 1, such as 0.9, got {quantile:g}.{hint}"
            raise typer.BadParameter(message, param_hint="--quantile")
    return quantiles or None


def _read_numbers(given: list[str] | None, option: str, expected: str, unit: str = "") -> list[float]:
    numbers = []
    for part in (part.strip() for text in given or () for part in text.split(",")):
        try:
            number = float(part.removesuffix(unit))
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise typer.BadParameter(f"expected {expected}, got {part!r}.", param_hint=option)
        numbers.append(number)
    return list(dict.fromkeys(numbers))


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
