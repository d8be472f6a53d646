"""The first run: shows a forecast of a real series, and trains the starter models."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from outfielder_client import Client, OutfielderError
from service.datasets.examples import load_example
from service.domain.baselines import naive, seasonal_naive
from service.domain.recipes.presets import CHAPTER
from service.errors import InvalidRequest

SEASON = 12
# What is forecast, and compared with.
YEAR = 12
POLL_SECONDS = 0.3
# It needs no training. Where it is not in the store, the first model that is trained within seconds and does more than
# repeat a value.
UNTRAINED_MODEL = "zero-shot"
FIRST_MODEL = "linear"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Say = Callable[[str], None]


def choose_starters(setting: str) -> list[str]:
    """The models that OUTFIELDER_STARTER_MODELS names: `all`, `none`, or names separated by commas.

    Raises:
        InvalidRequest: a name is not one of the chapter's models.
    """
    if setting in ("all", "none"):
        return list(CHAPTER) if setting == "all" else []
    names = [name for part in setting.split(",") if (name := part.strip())]
    unknown = [name for name in names if name not in CHAPTER]
    if unknown:
        raise InvalidRequest.at(
            "",
            "unknown_architecture",
            f"OUTFIELDER_STARTER_MODELS names {unknown[0]!r}. Choose all, none, or some of: {', '.join(CHAPTER)}.",
        )
    return names


def introduce(client: Client, starters: Sequence[str], say: Say) -> None:
    """Waits for the server, shows a forecast of AirPassengers without training, and trains starters in an empty store.

    Jobs of an earlier start are waited for, not submitted again.

    Raises:
        OutfielderError: the server refuses what is asked of it.
    """
    started = time.monotonic()
    while not client.is_ready():
        time.sleep(POLL_SECONDS)
    say(f"Open {client.url} in a browser to see forecasts and training. The API's docs: {client.url}/docs")
    ready = {model["name"] for model in client.models()}
    shown = 0
    if UNTRAINED_MODEL in ready:
        shown += 1
        say(show_air_passengers(client, UNTRAINED_MODEL))
        say(f"First forecast after {time.monotonic() - started:.0f} s, without training.")
    active = [job for status in ("running", "queued") for job in client.jobs(status=status)]
    ready.discard(UNTRAINED_MODEL)
    if not ready and not active and starters:
        say(f"The store is empty: training {', '.join(starters)} on the chapter's waves.")
        submit(client, starters)
    awaited = [name for name in starters if name in ready or not ready or any(j["model"] == name for j in active)]
    for name, error in _as_they_come(client, awaited):
        seconds = f"{time.monotonic() - started:.0f} s"
        if error is not None:
            say(f"{name}: {error}")
        elif shown == 0 and (name == FIRST_MODEL or FIRST_MODEL not in awaited):
            shown += 1
            say(show_air_passengers(client, name))
            say(f"First forecast after {seconds}.")
        elif shown:
            say(f"{name} is ready after {seconds}: {_describe_error(client, name)}")
    if awaited:
        say(f"All models are ready after {time.monotonic() - started:.0f} s. Serving on {client.url}; Ctrl-C ends it.")


def submit(client: Client, starters: Sequence[str]) -> None:
    """Submits the starters, scaled so that they serve series of any magnitude."""
    if list(starters) == list(CHAPTER):
        client.submit({"architecture": "chapter", "scaling": "standard"})
        return
    for name in starters:
        client.submit({"architecture": name, "scaling": "standard"})


def show_air_passengers(client: Client, model: str) -> str:
    """The last year of AirPassengers: actual values, forecasts of a model and the baselines, and the curl command."""
    history, actual = load_air_passengers()
    rows = {
        model: forecast_air_passengers(client, model),
        "seasonal naive": seasonal_naive(history[None], len(actual), SEASON)[0],
        "naive": naive(history[None], len(actual))[0],
    }
    lines = [
        "",
        f"AirPassengers: the 12 months of 1960, forecast from the {len(history)} months before (thousands)",
        f"{'':<16}{''.join(f'{month:>6}' for month in MONTHS)}{'MAE':>8}",
        f"{'actual':<16}{''.join(f'{value:>6.0f}' for value in actual)}",
    ]
    for name, values in rows.items():
        error = float(np.abs(values - actual).mean())
        lines.append(f"{name:<16}{''.join(f'{value:>6.0f}' for value in values)}{error:>8.1f}")
    body = json.dumps({"model": model, "series": [int(value) for value in history], "horizon": len(actual)})
    lines += [
        "",
        "The same with curl:",
        f"curl -s {client.url}/forecast -H 'Content-Type: application/json' -d '{body}'",
        "",
    ]
    return "\n".join(lines)


def load_air_passengers() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Monthly airline passengers, 1949 to 1959 and 1960: float64 [132], [12]."""
    [series] = load_example("air-passengers")
    return series.values[:-YEAR], series.values[-YEAR:]


def forecast_air_passengers(client: Client, model: str) -> np.ndarray[Any, Any]:
    """A model's forecast of 1960, [12]."""
    history, actual = load_air_passengers()
    answer = client.forecast(model=model, series=history.tolist(), horizon=len(actual))
    return np.asarray(answer["forecasts"][0]["values"], dtype=np.float64)


def _describe_error(client: Client, model: str) -> str:
    try:
        values = forecast_air_passengers(client, model)
    except OutfielderError as error:
        return error.message
    return f"MAE {float(np.abs(values - load_air_passengers()[1]).mean()):.1f} on AirPassengers"


def _as_they_come(client: Client, names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Each model once it can be asked, in that order, with None; or with what went wrong with its job."""
    waiting = list(names)
    while waiting:
        ready = {model["name"] for model in client.models()}
        for name in [name for name in waiting if name in ready]:
            waiting.remove(name)
            yield name, None
        # Succeeded jobs have published: their models stand in the next list.
        for job in [*client.jobs(status="failed"), *client.jobs(status="cancelled")]:
            if job["model"] in waiting and not _has_active_job(client, job["model"]):
                waiting.remove(job["model"])
                yield job["model"], (job["error"] or {}).get("message", f"its job was {job['status']}.")
        if waiting:
            time.sleep(POLL_SECONDS)


def _has_active_job(client: Client, model: str) -> bool:
    return any(job["model"] == model for status in ("running", "queued") for job in client.jobs(status=status))
