"""The command `forecast`."""

from typing import Annotated

import typer

from service.cli.connection import connect
from service.cli.options import (
    Decimal,
    Form,
    IdColumn,
    Json,
    Key,
    SeriesFile,
    TargetColumn,
    Thousands,
    TimeColumn,
    Url,
    Version,
    read_version,
)
from service.cli.output import print_forecast, print_json


def forecast(
    file: SeriesFile,
    model: Annotated[str | None, typer.Option(help="A stored model.")] = None,
    version: Version = None,
    mode: Annotated[str | None, typer.Option(help="one_step, autoregressive, vector, sequence or auto.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps ahead.")] = None,
    freq: Annotated[
        str | None, typer.Option(help="A pandas offset alias, if the file has too few time stamps to infer it.")
    ] = None,
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
    """Forecast the series of a file. What a JSON file asks for beside them holds, unless an option says otherwise."""
    from service.cli.series_file import choose_options, read_request

    options = choose_options(id_column, time_column, target_column, decimal, thousands, form)
    given = {
        "model": model,
        "version": read_version(version),
        "mode": mode,
        "horizon": horizon,
        "freq": freq,
    }
    request = read_request(file, options, freq) | {field: value for field, value in given.items() if value is not None}
    with connect(url, api_key) as client:
        answer = client.forecast(**request)
    if as_json:
        print_json(answer)
    else:
        print_forecast(answer)
