"""The command `outfielder`: its subcommands, and errors as one message.

What a command needs is imported when it runs.
"""

import io
import sys

import typer
from pydantic import ValidationError

from service.cli.backtest import backtest
from service.cli.forecast import forecast
from service.cli.jobs import jobs
from service.cli.models import check_store, leaderboard, models
from service.cli.plot import plot
from service.cli.schedules import schedule, schedules
from service.cli.serve import serve, up, worker
from service.cli.train import train
from service.errors import InvalidRequest, ServiceError

app = typer.Typer(
    name="outfielder",
    help="Forecast time series over HTTP, and train the models.",
    epilog="Begin with 'outfielder up'. Then, in another terminal, 'outfielder plot sales.csv' for any CSV of yours.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    up,
    serve,
    worker,
    train,
    forecast,
    plot,
    backtest,
    leaderboard,
    models,
    jobs,
    schedule,
    schedules,
    check_store,
):
    app.command()(command)


def main() -> None:
    """Runs a command; what goes wrong is one message on standard error and exit status 1 (2 for wrong usage)."""
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal has not is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app(prog_name="outfielder")
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
