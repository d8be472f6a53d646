"""The command `backtest`."""

from typing import Annotated

import typer

from service.cli.connection import connect
from service.cli.job_progress import follow, require_result
from service.cli.options import (
    Decimal,
    Form,
    IdColumn,
    Json,
    Key,
    Level,
    Model,
    SeriesFile,
    TargetColumn,
    Thousands,
    TimeColumn,
    Url,
    Version,
    read_levels,
    read_version,
)
from service.cli.output import print_backtest, print_json


def backtest(
    file: SeriesFile,
    model: Model = None,
    version: Version = None,
    horizon: Annotated[int | None, typer.Option(help="Steps ahead.")] = None,
    windows: Annotated[int | None, typer.Option(help="Forecasts of each series; by default 3.")] = None,
    step: Annotated[int | None, typer.Option(help="Points between two forecasts; by default 1.")] = None,
    season: Annotated[int | None, typer.Option(help="Points in a season.")] = None,
    level: Level = None,
    freq: Annotated[
        str | None, typer.Option(help="A pandas offset alias, which sets the season; by default the file's.")
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
    """Score a model and the baselines on the last points of a file's series."""
    from service.cli.series_file import OF_FORECASTS, choose_options, leave_out, read_request

    options = choose_options(id_column, time_column, target_column, decimal, thousands, form)
    given = {
        "model": model,
        "version": read_version(version),
        "horizon": horizon,
        "windows": windows,
        "step": step,
        "season": season,
        "level": read_levels(level),
        "freq": freq,
    }
    request = leave_out(read_request(file, options, freq).fields, OF_FORECASTS)
    with connect(url, api_key) as client:
        answer = client.submit_backtest(
            **request | {field: value for field, value in given.items() if value is not None}
        )
        if "overall" not in answer:
            answer = require_result(follow(client, answer, quiet=as_json))
    if as_json:
        print_json(answer)
    else:
        print_backtest(answer)
