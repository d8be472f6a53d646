"""Follows a job to its end with a progress bar."""

import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from outfielder_client import Client

# What a shell gives a command that Ctrl-C ended.
INTERRUPTED = 130


def follow(client: "Client", job: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Watches a job to its end and returns it. Ctrl-C ends the watching, not the job."""
    try:
        return _watch(client, job, quiet)
    except KeyboardInterrupt:
        hint = f"'outfielder jobs {job['id']} --watch' follows it again, --cancel ends it."
        print(f"outfielder: the job goes on: {hint}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _watch(client: "Client", job: dict[str, Any], quiet: bool) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from outfielder_client.progress import UNITS

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task(job["model"], total=None, note=job["status"])
        for event in client.watch(job["id"]):
            data = event.data
            if event.kind == "done":
                progress.update(task, note=data["status"])
                return data
            loss = "" if data["val_loss"] is None else f"val_loss {data['val_loss']:.4g}"
            note = f"{UNITS[job['kind']]} {data['epoch']}/{data['epochs']} {loss}"
            progress.update(task, total=data["epochs"] or None, completed=data["epoch"], note=note)
    return client.job(job["id"])


def require_result(job: dict[str, Any]) -> dict[str, Any]:
    """What a job that has ended came to; where that is nothing, the command fails."""
    if job["status"] != "succeeded":
        reason = (job["error"] or {}).get("message", f"it was {job['status']}.")
        print(f"outfielder: job {job['id']}: {reason}", file=sys.stderr)
        raise typer.Exit(1)
    result: dict[str, Any] = job["result"]
    return result
