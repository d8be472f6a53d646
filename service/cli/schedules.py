"""The commands on schedules: `schedule` makes one, `schedules` lists, changes, runs and removes them."""

from typing import Annotated, Any

import typer

from service.cli.completion import complete_architectures
from service.cli.connection import connect
from service.cli.options import Json, Key, Url, parse_options
from service.cli.output import print_json, print_table


def schedule(
    cron: Annotated[
        str, typer.Argument(help="When to train: '0 3 * * 1' is Mondays at three; or @daily, @weekly and the like.")
    ],
    architecture: Annotated[str, typer.Argument(help="A preset, or 'auto'.", autocompletion=complete_architectures)],
    name: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    dataset: Annotated[str | None, typer.Option(help="The id of the upload to train on.")] = None,
    timezone: Annotated[str | None, typer.Option(help="An IANA time zone; by default UTC.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=JSON", help="Any other field of POST /train.")
    ] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Train again and again, when a cron expression says so."""
    train: dict[str, Any] = {"architecture": architecture, **parse_options(option or [])}
    if name is not None:
        train["name"] = name
    if dataset is not None:
        train["data"] = {"kind": "dataset", "id": dataset}
    with connect(url, api_key) as client:
        made = client.schedule(cron, train, timezone=timezone)
    if as_json:
        print_json(made)
    else:
        _print_schedules([made])


def schedules(
    schedule_id: Annotated[
        str | None, typer.Argument(help="A schedule to show or to change; by default all are listed.")
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Submit its jobs now.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Submit nothing until it is resumed.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a pause.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the schedule.")] = False,
    url: Url = None,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """List schedules, or show, run, pause, resume or remove one."""
    if run + pause + resume + delete > 1:
        raise typer.BadParameter("--run, --pause, --resume and --delete exclude each other.")
    with connect(url, api_key) as client:
        if schedule_id is None:
            if run or pause or resume or delete:
                raise typer.BadParameter("--run, --pause, --resume and --delete need the id of a schedule.")
            shown = list(client.schedules())
        elif delete:
            client.delete_schedule(schedule_id)
            shown = []
        elif run:
            shown = [client.run_schedule(schedule_id)]
        elif pause or resume:
            shown = [client.change_schedule(schedule_id, paused=pause)]
        else:
            shown = [client.get_schedule(schedule_id)]
    if as_json:
        print_json(shown[0] if schedule_id is not None and shown else {"schedules": shown})
    elif delete:
        print(f"Schedule {schedule_id} is removed.")
    elif shown:
        _print_schedules(shown)
    else:
        print("There are no schedules.")


def _print_schedules(listed: list[dict[str, Any]]) -> None:
    rows = []
    for one in listed:
        last = one["runs"][0] if one["runs"] else None
        outcome = "" if last is None else (last["error"] or {}).get("message") or f"job {', '.join(last['jobs'])}"
        model = one["train"].get("name") or one["train"]["architecture"]
        next_at = "paused" if one["paused"] else one["next_at"]
        rows.append([one["id"], model, one["cron"], one["timezone"], next_at, outcome])
    print_table(["id", "model", "cron", "time zone", "next", "last"], rows)
