"""The command `train`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.completion import complete_architectures
from service.cli.connection import connect
from service.cli.job_progress import follow
from service.cli.options import (
    Decimal,
    Form,
    IdColumn,
    Json,
    Key,
    TargetColumn,
    Thousands,
    TimeColumn,
    Url,
    check_file,
    parse_options,
)
from service.cli.output import find_frequency, print_job, print_jobs, print_json
from service.cli.training_flags import add_flags, read_flags


@add_flags
def train(
    architecture: Annotated[
        str,
        typer.Argument(
            help="A preset such as lstm or theta; 'auto' for the best of a few; or 'chapter' for all models of the "
            "book chapter.",
            autocompletion=complete_architectures,
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="A file to upload and train on: CSV, TSV or Parquet, long (unique_id,ds,y or other names) or wide, "
            "or JSON. - is standard input.",
            callback=lambda file: check_file(file),
        ),
    ] = None,
    id_column: IdColumn = None,
    time_column: TimeColumn = None,
    target_column: TargetColumn = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    form: Form = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=JSON", help="Any other field of POST /train.")
    ] = None,
    priority: Annotated[
        int | None, typer.Option(help="-10 to 10, by default 0: jobs of a higher priority start first.")
    ] = None,
    keep_versions: Annotated[
        int | None, typer.Option(help="The most versions of the model to keep; those that an alias names stay.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the model and show a progress bar.")] = False,
    url: Url = None,
    api_key: Key = None,
    as_json: Json = False,
    **flags: Any,
) -> None:
    """Submit a training job.

    For example: outfielder train auto --name sales --file sales.csv --wait
    """
    from service.cli.series_file import choose_options, upload

    options = choose_options(id_column, time_column, target_column, decimal, thousands, form)
    if file is None and options.to_dict():
        raise typer.BadParameter(f"{', '.join(options.to_dict())}: only with --file.")
    named = {"architecture": architecture, "name": name, "priority": priority, "keep_versions": keep_versions}
    fields = {**named, **read_flags(flags), **parse_options(option or [])}
    with connect(url, api_key) as client:
        request = {field: value for field, value in fields.items() if value is not None}
        if file is not None:
            request = upload(client, file, options) | request
        jobs = [job.record for job in client.submit(request)]
        if wait:
            jobs = [follow(client, job, quiet=as_json) for job in jobs]
        freq = find_frequency(client, jobs[0])
    if as_json:
        print_json(jobs[0] if len(jobs) == 1 else {"jobs": jobs})
    elif len(jobs) == 1:
        print_job(jobs[0], freq)
    else:
        print_jobs(jobs)
    if not (wait or as_json):
        what = f"jobs {jobs[0]['id']} --watch" if len(jobs) == 1 else "jobs"
        print(f"outfielder: follow with 'outfielder {what}'; --wait waits for the end.", file=sys.stderr)
    if any(job["status"] in ("failed", "cancelled") for job in jobs):
        raise typer.Exit(1)
