"""What a shell completes beyond commands and options: architectures, and names that the server knows.

Whoever presses the tab key waits for it: a server that is slow or away completes nothing, without a word.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from outfielder_client import Client

Completions = list[tuple[str, str]]

TIMEOUT_SECONDS = 1.0
MOST_JOBS = 20


def complete_architectures(incomplete: str) -> Completions:
    """The presets, and the words that stand for several."""
    from service.domain.recipes.presets import PRESETS

    several = {"auto": "the best of a few, by validation", "chapter": "a job for each model of the book chapter"}
    known = several | {name: preset.summary for name, preset in PRESETS.items()}
    return [(name, help_text) for name, help_text in known.items() if name.startswith(incomplete)]


def complete_from(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """The completion of an option with few choices, which the server checks."""
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


def complete_models(context: typer.Context, incomplete: str) -> Completions:
    """The names of stored models."""
    found: Completions = []
    with suppress(Exception), _connect(context) as client:
        found += [
            (model["name"], model["architecture"]) for model in client.models() if model["name"].startswith(incomplete)
        ]
    return found


def complete_versions(context: typer.Context, incomplete: str) -> Completions:
    """Aliases and numbers of the model that the line names."""
    found: Completions = []
    with suppress(Exception), _connect(context) as client:
        model = client.model(context.params["model"])
        known = [(alias, f"version {number}") for alias, number in model["aliases"].items()]
        known += [(str(number), "") for number in reversed(model["versions"])]
        found += [(name, help_text) for name, help_text in known if name.startswith(incomplete)]
    return found


def complete_jobs(context: typer.Context, incomplete: str) -> Completions:
    """The ids of the newest jobs."""
    from itertools import islice

    found: Completions = []
    with suppress(Exception), _connect(context) as client:
        found += [
            (job["id"], f"{job['model']}, {job['status']}")
            for job in islice(client.jobs(), MOST_JOBS)
            if job["id"].startswith(incomplete)
        ]
    return found


@contextmanager
def _connect(context: typer.Context) -> "Iterator[Client]":
    """A client of the server that the line names, which gives up at once."""
    from outfielder_client import Client, Retry
    from service.cli.connection import read_settings, url_of

    url = context.params.get("url") or url_of(read_settings())
    with Client(url, context.params.get("api_key"), timeout=TIMEOUT_SECONDS, retry=Retry(attempts=1)) as client:
        yield client
