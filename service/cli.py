"""The command `outfielder`: parses arguments, calls, prints. What a command needs is imported when it runs."""

import json
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from service.errors import InvalidRequest, ServiceError
from service.settings import Settings
from service.tables import (
    format_mse,
    print_backtest,
    print_forecast,
    print_jobs,
    print_json,
    print_leaderboard,
    print_table,
)

if TYPE_CHECKING:
    from service.client import Client

app = typer.Typer(
    name="outfielder",
    help="Forecasts series over HTTP, and trains the models for it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# What a job's progress counts.
UNITS = {"train": "epoch", "backtest": "series"}

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Url = Annotated[str | None, typer.Option(help="The server; by default OUTFIELDER_HOST and OUTFIELDER_PORT.")]
Key = Annotated[str | None, typer.Option(help="An API key of the server.", envvar="OUTFIELDER_API_KEY")]
Host = Annotated[str | None, typer.Option(help="The address to listen on.")]
Port = Annotated[int | None, typer.Option(help="The port to listen on.", min=0, max=65535)]
SeriesFile = Annotated[
    Path,
    typer.Argument(
        help="CSV, TSV or Parquet with the columns unique_id,ds,y or others, long or wide; a column of numbers; or "
        "JSON as in POST /forecast. - is standard input.",
        callback=lambda file: check_file(file),
    ),
]
Version = Annotated[str | None, typer.Option(help="A version's number or an alias.")]
IdColumn = Annotated[str | None, typer.Option(help="The file's column of ids.")]
TimeColumn = Annotated[str | None, typer.Option(help="The file's column of times.")]
TargetColumn = Annotated[str | None, typer.Option(help="The file's column of values.")]
Decimal = Annotated[str | None, typer.Option(help="The file's decimal point: '.' or ','.")]
Thousands = Annotated[
    str | None, typer.Option(help="What groups digits in the file: ',', '.', space, apostrophe, underscore or none.")
]
Form = Annotated[str | None, typer.Option("--format", help="long, or wide where each column of the file is a series.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Listen beyond this machine without an API key.")]


@app.command()
def up(host: Host = None, port: Port = None, insecure: Insecure = False) -> None:
    """Run API and worker together; in an empty store, train the starter models and show a first forecast."""
    from service.client import Client, RequestRefused
    from service.first_run import choose_starters, introduce
    from service.listener import find_free_port
    from service.supervisor import Child, Supervisor
    from service.telemetry.logging import configure
    from service.worker import make_children

    settings = read_settings(host, port)
    if settings.port == 0:
        # Whoever introduces the service has to know where it listens.
        settings = read_settings(host, find_free_port(settings.host))
    starters = choose_starters(settings.starter_models)
    configure("WARNING")
    listen = ["--host", settings.host, "--port", str(settings.port), *(["--insecure"] if insecure else [])]
    supervisor = Supervisor(
        [
            Child("api", [sys.executable, "-m", "service.cli", "serve", *listen]),
            *make_children(settings),
        ]
    )
    key = next(iter(sorted(settings.all_api_keys())), None)

    def tell() -> None:
        with Client(url_of(settings), key) as client:
            try:
                introduce(client, starters, lambda text: print(text, flush=True))
            except RequestRefused as error:
                print(f"outfielder: {error.message}", file=sys.stderr)

    # A daemon: the service goes on whether or not anybody listens to the introduction.
    threading.Thread(target=tell, name="first-run", daemon=True).start()
    raise typer.Exit(supervisor.run())


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    insecure: Insecure = False,
    workers: Annotated[int | None, typer.Option(help="API processes, by default OUTFIELDER_WORKERS.", min=1)] = None,
    descriptor: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the API alone."""
    settings = read_settings(host, port, workers)
    if settings.workers > 1 and descriptor is None:
        from service.multi_worker import serve_together

        raise typer.Exit(serve_together(settings, insecure))
    import service.app

    raise typer.Exit(service.app.serve(settings, insecure, descriptor))


@app.command()
def worker(
    jobs: Annotated[int | None, typer.Option(help="Jobs at once, by default OUTFIELDER_JOBS.", min=1)] = None,
    slot: Annotated[int | None, typer.Option(hidden=True)] = None,
    performs: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run the training worker alone."""
    from service import worker as process

    settings = read_settings(jobs=jobs)
    if performs:
        process.perform(settings)
    if settings.jobs > 1 and slot is None:
        raise typer.Exit(process.main_of_many(settings))
    process.leave(process.main(settings, slot or 0))


@app.command()
def train(
    architecture: Annotated[
        str, typer.Argument(help="A preset, 'auto', or 'chapter' for all of the chapter's models.")
    ],
    name: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    head: Annotated[str | None, typer.Option(help="one_step, vector or sequence.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Series of your own, uploaded and then trained on: CSV, TSV or Parquet with unique_id,ds,y or others, "
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
    scaling: Annotated[str | None, typer.Option(help="none, standard, mean, robust or auto.")] = None,
    window: Annotated[int | None, typer.Option(help="Points that the model learns to read.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps that it learns to forecast.")] = None,
    epochs: Annotated[int | None, typer.Option()] = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    units: Annotated[int | None, typer.Option()] = None,
    layers: Annotated[int | None, typer.Option()] = None,
    dropout: Annotated[float | None, typer.Option()] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    patience: Annotated[int | None, typer.Option(help="Stop early after so many epochs without a gain.")] = None,
    trials: Annotated[int | None, typer.Option(help="Tune: publish the best of so many trials.", min=1)] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=JSON", help="Any further field of POST /train.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the model, with a progress bar.")] = False,
    url: Url = None,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Submit a training job."""
    from service.files import choose_options, upload

    options = choose_options(id_column, time_column, target_column, decimal, thousands, form)
    if file is None and options.to_dict():
        raise typer.BadParameter(f"{', '.join(options.to_dict())}: of a file, but there is no --file.")
    fields = {
        "architecture": architecture, "name": name, "head": head, "scaling": scaling, "window": window,
        "horizon": horizon, "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "units": units, "layers": layers, "dropout": dropout, "seed": seed,
        "early_stopping": None if patience is None else {"patience": patience},
        "tune": None if trials is None else {"trials": trials},
        **parse_options(option or []),
    }  # fmt: skip
    with connect(url, api_key) as client:
        request = {field: value for field, value in fields.items() if value is not None}
        if file is not None:
            request = upload(client, file, options) | request
        jobs = client.train(**request)
        if wait:
            jobs = [follow(client, job, quiet=as_json) for job in jobs]
    if as_json:
        print_json(jobs[0] if len(jobs) == 1 else {"jobs": jobs})
    else:
        print_jobs(jobs)
    if any(job["status"] in ("failed", "cancelled") for job in jobs):
        raise typer.Exit(1)


@app.command()
def forecast(
    file: SeriesFile,
    model: Annotated[str | None, typer.Option(help="A stored model.")] = None,
    version: Version = None,
    mode: Annotated[str | None, typer.Option(help="one_step, autoregressive, vector, sequence or auto.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps ahead.")] = None,
    freq: Annotated[
        str | None, typer.Option(help="A pandas offset alias, where the file's time stamps are too few to tell it.")
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
    from service.files import choose_options, read_request

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


@app.command()
def backtest(
    file: SeriesFile,
    model: Annotated[str | None, typer.Option(help="A stored model.")] = None,
    version: Version = None,
    horizon: Annotated[int | None, typer.Option(help="Steps ahead.")] = None,
    windows: Annotated[int | None, typer.Option(help="Forecasts of each series; 3 unless told.")] = None,
    step: Annotated[int | None, typer.Option(help="Points between two forecasts; 1 unless told.")] = None,
    season: Annotated[int | None, typer.Option(help="Points of a season.")] = None,
    level: Annotated[
        list[float] | None, typer.Option(help="A prediction interval, in percent, whose coverage is wanted.")
    ] = None,
    freq: Annotated[
        str | None, typer.Option(help="A pandas offset alias, which tells the usual season; by default the file's.")
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
    from service.files import OF_FORECASTS, choose_options, leave_out, read_request

    options = choose_options(id_column, time_column, target_column, decimal, thousands, form)
    given = {
        "model": model,
        "version": read_version(version),
        "horizon": horizon,
        "windows": windows,
        "step": step,
        "season": season,
        "level": level or None,
        "freq": freq,
    }
    request = leave_out(read_request(file, options, freq), OF_FORECASTS)
    with connect(url, api_key) as client:
        answer = client.backtest(**request | {field: value for field, value in given.items() if value is not None})
        if "overall" not in answer:
            answer = require_result(follow(client, answer, quiet=as_json))
    if as_json:
        print_json(answer)
    else:
        print_backtest(answer)


@app.command()
def leaderboard(
    metric: Annotated[str | None, typer.Option(help="mse, rmse, mae, smape or mase.")] = None,
    part: Annotated[str | None, typer.Option(help="validation or test.")] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Rank all versions and the baselines by their stored scores."""
    given = {"metric": metric, "part": part}
    with connect(url, api_key) as client:
        groups = client.leaderboard(**{name: value for name, value in given.items() if value is not None})
    if as_json:
        print_json({"leaderboard": groups})
    else:
        print_leaderboard(groups)


@app.command()
def models(url: Url = None, api_key: Key = None, as_json: Json = False) -> None:
    """List the models of the store."""
    with connect(url, api_key) as client:
        found = client.models()
    if as_json:
        print_json({"models": found})
        return
    rows = [
        [m["name"], m["architecture"], m["head"], ", ".join(map(str, m["versions"])), str(m["horizon"]), m["scaling"],
         format_mse(m["metrics"])]
        for m in found
    ]  # fmt: skip
    print_table(["name", "architecture", "head", "versions", "horizon", "scaling", "test MSE"], rows)


@app.command()
def jobs(
    job_id: Annotated[str | None, typer.Argument(help="One job; by default the newest are listed.")] = None,
    status: Annotated[str | None, typer.Option(help="Only jobs with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to list.")] = 20,
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
            found = list(islice(client.jobs(**({} if status is None else {"status": status})), limit))
        elif cancel:
            found = [client.cancel(job_id)]
        elif watch:
            found = [follow(client, client.job(job_id), quiet=as_json)]
        else:
            found = [client.job(job_id)]
    if as_json:
        print_json({"jobs": found} if job_id is None else found[0])
    else:
        print_jobs(found)


@app.command("check-store")
def check_store(as_json: Json = False) -> None:
    """Compare every version's files with its manifest, and name whatever else in the store is damaged."""
    from service.store.store_check import check_store as check

    checked, findings = check(read_settings().models_store)
    if as_json:
        print_json({"checked": checked, "findings": findings})
    else:
        for finding in findings:
            print(f"{finding['entry']}: {finding['message']}")
        print(f"{checked} versions checked, {len(findings)} damaged.")
    if findings:
        raise typer.Exit(1)


def read_settings(
    host: str | None = None, port: int | None = None, workers: int | None = None, jobs: int | None = None
) -> Settings:
    """The settings of the environment, with what the command line overrides."""
    given = {"host": host, "port": port, "workers": workers, "jobs": jobs}
    return Settings.model_validate(Settings().model_dump() | {k: v for k, v in given.items() if v is not None})


def url_of(settings: Settings) -> str:
    """Where a server of these settings is reached from this machine."""
    everywhere = settings.host in ("0.0.0.0", "::", "")
    host = "127.0.0.1" if everywhere else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def connect(url: str | None, api_key: str | None) -> "Client":
    from service.client import Client

    return Client(url if url is not None else url_of(read_settings()), api_key)


def check_file(file: Path | None) -> Path | None:
    """Standard input, or a file that is there; anything else is wrong usage."""
    if file is None or str(file) == "-" or file.is_file():
        return file
    what = "is a folder" if file.is_dir() else "does not exist"
    raise typer.BadParameter(f"file {str(file)!r} {what}.")


def read_version(text: str | None) -> int | str | None:
    """Digits are a number; anything else can only be an alias."""
    return int(text) if text is not None and text.isdigit() else text


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


def follow(client: "Client", job: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Watches a job to its end and returns it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task(job["model"], total=None, note=job["status"])
        for kind, event in client.events(job["id"]):
            if kind == "done":
                progress.update(task, note=event["status"])
                return event
            loss = "" if event["val_loss"] is None else f"val_loss {event['val_loss']:.4g}"
            note = f"{UNITS[job['kind']]} {event['epoch']}/{event['epochs']} {loss}"
            progress.update(task, total=event["epochs"] or None, completed=event["epoch"], note=note)
    return client.job(job["id"])


def require_result(job: dict[str, Any]) -> dict[str, Any]:
    """What a job that has ended came to; where that is nothing, the command fails."""
    if job["status"] != "succeeded":
        reason = (job["error"] or {}).get("message", f"it was {job['status']}.")
        print(f"outfielder: job {job['id']}: {reason}", file=sys.stderr)
        raise typer.Exit(1)
    result: dict[str, Any] = job["result"]
    return result


def main() -> None:
    """Runs a command; what goes wrong is one message on standard error and exit status 1 (2 for wrong usage)."""
    try:
        app()
    except InvalidRequest as error:
        for flaw in error.flaws:
            print(f"outfielder: {flaw.message}", file=sys.stderr)
        sys.exit(1)
    except ServiceError as error:
        print(f"outfielder: {error.message}", file=sys.stderr)
        sys.exit(1)
    except ValidationError as error:
        for details in error.errors():
            setting = "_".join(["OUTFIELDER", *(str(part).upper() for part in details["loc"])])
            print(f"outfielder: {setting}: {details['msg']}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        print(f"outfielder: {reason}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
