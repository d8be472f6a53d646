"""The command `jobs`."""

import sys
from typing import Annotated

import typer

from service.cli.completion import complete_from, complete_jobs, complete_models
from service.cli.connection import connect
from service.cli.job_progress import follow
from service.cli.options import Json, Key, Url
from service.cli.output import find_frequency, print_history, print_job, print_jobs, print_json

KINDS = ("train", "backtest", "forecast")
STATUSES = ("queued", "running", "succeeded", "failed", "cancelled")


def jobs(
    job_id: Annotated[
        str | None,
        typer.Argument(help="A job to show; by default the newest jobs are listed.", autocompletion=complete_jobs),
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Only jobs with this status.", autocompletion=complete_from(STATUSES))
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Only jobs that publish or use this model.", autocompletion=complete_models),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only train, backtest or forecast.", autocompletion=complete_from(KINDS))
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Only jobs submitted at this ISO 8601 time or later; UTC without an offset.")
    ] = None,
    before: Annotated[str | None, typer.Option(help="Only jobs submitted before this ISO 8601 time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The number of jobs to list.")] = 20,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the job.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the job to its end.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Submit a job that has ended once more.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Print what workers logged about the job.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Print the losses of the job's epochs.")] = False,
    url: Url = None,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """List jobs, or show, watch, cancel or repeat one."""
    from itertools import islice

    asked = {"--cancel": cancel, "--watch": watch, "--retry": retry, "--log": log, "--history": history}
    chosen = [name for name, is_given in asked.items() if is_given]
    if job_id is None and chosen:
        raise typer.BadParameter(f"{chosen[0]} needs the id of a job.")
    if len(chosen) > 1:
        raise typer.BadParameter(f"{chosen[0]} and {chosen[1]} exclude each other.")
    with connect(url, api_key) as client:
        if job_id is None:
            filters = {"status": status, "model": model, "kind": kind}
            listed = client.jobs(**filters, submitted_after=after, submitted_before=before)
            shown = list(islice(listed, limit))
            if as_json:
                print_json({"jobs": shown})
            elif shown:
                print_jobs(shown)
            else:
                is_filtered = any(value is not None for value in (model, kind, after, before))
                print(f"There are no {f'{status} ' if status else ''}jobs{' like that' if is_filtered else ''}.")
            return
        if log:
            text = client.log(job_id)
            print_json({"log": text.splitlines()}) if as_json else print(text, end="")
            return
        if history:
            epochs = list(client.history(job_id))
            print_json({"history": epochs}) if as_json else print_history(epochs)
            return
        if cancel:
            job = client.cancel(job_id)
        elif retry:
            job = client.retry(job_id).record
        elif watch:
            job = follow(client, client.job(job_id), quiet=as_json)
        else:
            job = client.job(job_id)
        if as_json:
            print_json(job)
        else:
            print_job(job, find_frequency(client, job))
        if watch and job["status"] in ("failed", "cancelled"):
            raise typer.Exit(1)
        if cancel and job["status"] == "running":
            print("outfielder: it was told to end, and does so within a batch or two.", file=sys.stderr)
