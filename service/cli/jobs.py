"""The command `jobs`."""

import sys
from typing import Annotated

import typer

from service.cli.completion import complete_from, complete_jobs
from service.cli.connection import connect
from service.cli.job_progress import follow
from service.cli.options import Json, Key, Url
from service.cli.output import find_frequency, print_job, print_jobs, print_json

STATUSES = ("queued", "running", "succeeded", "failed", "cancelled")


def jobs(
    job_id: Annotated[
        str | None,
        typer.Argument(help="A job to show; by default the newest jobs are listed.", autocompletion=complete_jobs),
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Only jobs with this status.", autocompletion=complete_from(STATUSES))
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The number of jobs to list.")] = 20,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the job.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the job to its end.")] = False,
    url: Url = None,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """List jobs, or show, watch or cancel one."""
    from itertools import islice

    if job_id is None and (cancel or watch):
        raise typer.BadParameter("--cancel and --watch need the id of a job.")
    with connect(url, api_key) as client:
        if job_id is None:
            shown = list(islice(client.jobs(status=status), limit))
            if as_json:
                print_json({"jobs": shown})
            elif shown:
                print_jobs(shown)
            else:
                print("There are no jobs." if status is None else f"There are no {status} jobs.")
            return
        if cancel:
            job = client.cancel(job_id)
        elif watch:
            job = follow(client, client.job(job_id), quiet=as_json)
        else:
            job = client.job(job_id)
        if as_json:
            print_json(job)
        else:
            print_job(job, find_frequency(client, job))
        if cancel and job["status"] == "running":
            print("outfielder: it was told to end, and does so within a batch or two.", file=sys.stderr)
