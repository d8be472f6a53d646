"""The command `plot`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.connection import connect
from service.cli.options import (
    Decimal,
    Form,
    Freq,
    Horizon,
    IdColumn,
    Key,
    Level,
    Model,
    Season,
    Series,
    SeriesFile,
    TargetColumn,
    Thousands,
    TimeColumn,
    Url,
    Version,
    read_levels,
    read_version,
)

SUFFIXES = {".png": "png", ".svg": "svg", ".pdf": "pdf"}


def plot(
    file: SeriesFile,
    series: Series = None,
    model: Model = None,
    version: Version = None,
    horizon: Horizon = None,
    level: Level = None,
    season: Season = None,
    fitted: Annotated[bool, typer.Option("--fitted", help="Draw the model's forecasts of the past too.")] = False,
    last: Annotated[
        int | None,
        typer.Option(min=1, help="Points of history to draw; by default as many as leave the forecast to be seen."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A picture instead: a name that ends in .png, .svg or .pdf."),
    ] = None,
    freq: Freq = None,
    id_column: IdColumn = None,
    time_column: TimeColumn = None,
    target_column: TargetColumn = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    form: Form = None,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Draw series of a file with their forecasts, in the terminal or as a picture.

    For example: outfielder plot sales.csv --series north --last 36

    Without --level the interval of 80 % is drawn, where the model has one.
    """
    from service.cli.forecast_plot import ask, draw_in_terminal, draw_picture, require_matplotlib
    from service.cli.output_file import choose_output
    from service.cli.series_file import choose_options

    options = choose_options(id_column, time_column, target_column, decimal, thousands, form)
    target = choose_output(output, SUFFIXES, source=file)
    given: dict[str, Any] = {
        "model": model,
        "version": read_version(version),
        "horizon": horizon,
        "level": read_levels(level),
        "season": season,
        "fitted": fitted or None,
        "freq": freq,
    }
    if target is not None:
        require_matplotlib()
    asked = {field: value for field, value in given.items() if value is not None}
    with connect(url, api_key) as client:
        drawn = ask(client, file, options, series or [], asked, last)
    if target is None:
        draw_in_terminal(drawn)
    else:
        target.write(draw_picture(drawn, target.format))
        told = f"{len(drawn)} series, forecast by {drawn[0].model}"
        print(f"{target.path}: {told}", file=sys.stderr)
