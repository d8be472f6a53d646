"""The commands that run the service: `up`, `serve` and `worker`."""

import sys
import threading
from typing import Annotated

import typer

from service.cli.connection import read_settings, url_of
from service.cli.options import Host, Insecure, Port


def up(host: Host = None, port: Port = None, insecure: Insecure = False) -> None:
    """Run API and worker together; show a first forecast and, in an empty store, train the starter models."""
    from outfielder_client import Client, OutfielderError
    from service.cli.first_run import choose_starters, introduce
    from service.listener import find_free_port
    from service.supervisor import Child, Supervisor
    from service.telemetry.logging import configure
    from service.worker import make_children

    settings = read_settings(host, port)
    if settings.port == 0:
        # Whoever introduces the service has to know where it listens.
        settings = read_settings(host, find_free_port(settings.host))
    starters = choose_starters(settings.starter_models)
    configure("WARNING", json=settings.logs_json)
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
            except OutfielderError as error:
                print(f"outfielder: {error.message}", file=sys.stderr)

    # A daemon: the service goes on whether or not anybody listens to the introduction.
    threading.Thread(target=tell, name="first-run", daemon=True).start()
    raise typer.Exit(supervisor.run())


def serve(
    host: Host = None,
    port: Port = None,
    insecure: Insecure = False,
    workers: Annotated[
        int | None, typer.Option(help="The number of API processes; by default OUTFIELDER_WORKERS.", min=1)
    ] = None,
    descriptor: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the API alone."""
    settings = read_settings(host, port, workers)
    if settings.pretrained and descriptor is None:
        from service.store.pretrained import publish_pretrained
        from service.store.shared_store import open_store

        publish_pretrained(open_store(settings.models_store, settings.models_folder))
    if settings.workers > 1 and descriptor is None:
        from service.multi_worker import serve_together

        raise typer.Exit(serve_together(settings, insecure))
    import service.app

    raise typer.Exit(service.app.serve(settings, insecure, descriptor))


def worker(
    jobs: Annotated[
        int | None, typer.Option(help="The number of jobs to run at once; by default OUTFIELDER_JOBS.", min=1)
    ] = None,
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
