"""The command `forecast`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.completion import complete_from
from service.cli.connection import connect
from service.cli.options import (
    Decimal,
    Form,
    Freq,
    Horizon,
    IdColumn,
    Json,
    Key,
    Level,
    Model,
    Quantile,
    Season,
    Series,
    SeriesFileIfAny,
    TargetColumn,
    Thousands,
    TimeColumn,
    Url,
    Version,
    read_levels,
    read_quantiles,
    read_version,
)
from service.cli.output import format_json, print_forecast, print_json

MODES = ("one_step", "autoregressive", "vector", "sequence", "auto")
SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".json": "json"}
# What a table of a row a step has no place for.
NOT_IN_TABLES = ("all_steps", "explain", "fitted")


def forecast(
    file: SeriesFileIfAny = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="An upload in place of a file, of any size: a job forecasts it to --output, as Parquet."
        ),
    ] = None,
    series: Series = None,
    model: Model = None,
    version: Version = None,
    mode: Annotated[
        str | None, typer.Option(help=f"{', '.join(MODES[:-1])} or auto.", autocompletion=complete_from(MODES))
    ] = None,
    horizon: Horizon = None,
    level: Level = None,
    quantile: Quantile = None,
    season: Season = None,
    fitted: Annotated[
        bool, typer.Option("--fitted", help="Add the forecasts of the past, one step ahead, to an answer in JSON.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A file for the forecasts: .csv, .parquet or .json. - is standard output, as CSV."
        ),
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option(
            help="csv, parquet or json, where the name of --output does not say it.",
            autocompletion=complete_from(tuple(SUFFIXES.values())),
        ),
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
    as_json: Json = False,
) -> None:
    """Forecast the series of a file, or of an upload.

    For example: outfielder forecast sales.csv --horizon 12 --level 80 --output forecast.csv

    A JSON file may say more than its series, such as the model: options go before it.
    """
    from service.cli.output_file import STDOUT, choose_output
    from service.cli.series_choice import choose_series, to_records
    from service.cli.series_file import choose_options, leave_out, read_request
    from service.cli.upload_forecast import check_target, forecast_upload

    options = choose_options(id_column, time_column, target_column, decimal, thousands, form)
    given: dict[str, Any] = {
        "model": model,
        "version": read_version(version),
        "mode": mode,
        "horizon": horizon,
        "level": read_levels(level),
        "quantiles": read_quantiles(quantile),
        "season": season,
        "fitted": fitted or None,
        "freq": freq,
    }
    given = {field: value for field, value in given.items() if value is not None}
    if dataset is not None:
        if file or series or fitted or options.to_dict():
            message = "all series of an upload are forecast, as they were read: leave out what is said of a file."
            raise typer.BadParameter(message, param_hint="--dataset")
        into = check_target(choose_output(output, SUFFIXES, asked=output_format, for_stdout="csv"))
        with connect(url, api_key) as client:
            forecast_upload(client, dataset, into, given, as_json=as_json)
        return
    if file is None:
        raise typer.BadParameter("name a file, - for standard input, or an upload by --dataset.")
    if as_json and output_format not in (None, "json"):
        raise typer.BadParameter(f"--json and --output-format {output_format}: leave one of them out.")
    asked_format = "json" if as_json else output_format
    target = choose_output(output, SUFFIXES, asked=asked_format, for_stdout="csv", source=file)
    kind = None if target is None else target.format
    if kind != "json" and fitted:
        raise typer.BadParameter("forecasts of the past are in JSON alone: add --json.", param_hint="--fitted")
    if target is not None and (target.path, kind) == (STDOUT, "parquet") and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is no text: name a file, or pipe it to a program.", param_hint="--output")
    read = read_request(file, options, freq)
    request = read.fields if kind == "json" else leave_out(read.fields, NOT_IN_TABLES)
    request = request | given
    if series:
        request["series"] = to_records(choose_series(request["series"], series))
    with connect(url, api_key) as client:
        answer = client.forecast(**request)
    if target is None:
        has_times = "timestamps" in answer["forecasts"][0]
        unnamed = read.columns.time if has_times else "step"
        print_forecast(answer, unnamed if read.columns.id is None else None)
        return
    _tell_errors(answer)
    if target.format == "json":
        if target.path == STDOUT:
            print_json(answer)
            return
        content = f"{format_json(answer)}\n".encode()
    else:
        from service.cli.forecast_table import make_table

        content = make_table(answer, target.format, read.columns)
    target.write(content)
    if target.path != STDOUT:
        n = sum("error" not in one for one in answer["forecasts"])
        told = (
            f"{target.path}: {answer['horizon']:,} steps of {n:,} series, {answer['model']} version {answer['version']}"
        )
        print(told, file=sys.stderr)


def _tell_errors(answer: dict[str, Any]) -> None:
    """Tells which series have no forecast, also to whoever does not look into the file."""
    for one in answer["forecasts"]:
        if "error" in one:
            print(f"{one['id']}: {one['error']['message']}", file=sys.stderr)
