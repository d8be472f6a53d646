"""Forecasts and anomalies: of lists, of frames, in one request or several."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from outfielder_client.connection import JSON, Connection
from outfielder_client.effects import InThread, Program, consume
from outfielder_client.errors import FrequencyUnknown, RequestRefused, SeriesLeftOut, UnusableInput
from outfielder_client.frames import Columns, LongFrame, Steps, interval_columns
from outfielder_client.parts import SETTLED, ask_all
from outfielder_client.series import Series
from outfielder_client.streams import (
    ARROW,
    can_stream,
    has_typed_times,
    make_parameters,
    needs_upload,
    read_stream,
    write_stream,
)
from outfielder_client.uploads import SHOWN_FINDINGS, describe_finding, warn_of_findings, with_upload

# A request for anomalies may hold no more.
MOST_ANOMALY_POINTS = 100_000
# What has no place in a frame of forecasts.
NOT_OF_FRAMES = ("all_steps", "explain", "fitted", "start")
SHOWN_SERIES = 5


@dataclass(frozen=True)
class Call:
    """One kind of request about series: the route, the answer's list of series, what the first part settles."""

    path: str
    key: str
    settled: tuple[str, ...]


FORECAST = Call("/forecast", "forecasts", SETTLED)
ANOMALIES = Call("/anomalies", "series", ("model", "version"))


def ask_series(
    connection: Connection, call: Call, given: Any, body: dict[str, Any], timeout: float | None
) -> Program[dict[str, Any]]:
    """The answer of the API to series in any form, cut into several requests where there are many."""
    series = Series.read(given)
    parts = series.split(*_limits(connection, call, body, timed=body.get("freq") is not None))

    def ask(index: int, fields: dict[str, Any]) -> Program[dict[str, Any]]:
        return connection.call("POST", call.path, {**fields, "series": parts[index].to_json()}, timeout=timeout)

    sizes = [len(part.items) for part in parts]
    answer = yield from ask_all(sizes, body, ask, call.key, call.settled, connection.partition.concurrency)
    if len(parts) > 1:
        # Each part counts its series from 0.
        for name, of_one in zip(series.ids(), answer[call.key], strict=True):
            of_one["id"] = name
    return answer


def forecast_frame(
    connection: Connection, frame: Any, columns: Columns, body: dict[str, Any], timeout: float | None
) -> Program[Any]:
    """A frame of forecasts: ids, times, the model's name, bounds and quantiles.

    Raises:
        UnusableInput, FrequencyUnknown, RequestRefused, ConnectionFailed.
    """
    long = LongFrame(frame, columns)
    answer = yield from _ask_frame(connection, FORECAST, long, body, timeout)
    places: list[int] = []
    times: list[Any] = []
    made: dict[str, list[float]] = {}
    for place, series in _answered(long, answer["forecasts"]):
        places += [place] * answer["horizon"]
        times += series["times"]
        for name, values in interval_columns(answer["model"], series):
            made.setdefault(name, []).extend(values)
    return long.build(places, times, made)


def anomalies_frame(
    connection: Connection, frame: Any, columns: Columns, body: dict[str, Any], timeout: float | None
) -> Program[Any]:
    """A frame of the history: ids, times, values, the model's one-step forecast with its bounds, and `anomaly`.

    Raises as `forecast_frame`.
    """
    long = LongFrame(frame, columns)
    answer = yield from _ask_frame(connection, ANOMALIES, long, body, timeout)
    model, level = answer["model"], f"{answer['level']:g}"
    names = (columns.target, model, f"{model}-lo-{level}", f"{model}-hi-{level}")
    places: list[int] = []
    times: list[Any] = []
    made: dict[str, list[Any]] = {name: [] for name in (*names, "anomaly")}
    for place, series in _answered(long, answer["series"]):
        length = len(series["values"])
        places += [place] * length
        times += series["times"]
        lists = (series["history"], series["values"], series["lower"], series["upper"])
        for name, values in zip(names, lists, strict=True):
            made[name] += values
        outside = set(series["anomalies"])
        made["anomaly"] += [index in outside for index in range(length)]
    return long.build(places, times, made)


def _ask_frame(
    connection: Connection, call: Call, long: LongFrame, body: dict[str, Any], timeout: float | None
) -> Program[dict[str, Any]]:
    """The answer of the API to a frame; each series has `times`, and of anomalies its `history`, besides."""
    unwanted = [name for name in NOT_OF_FRAMES if body.get(name) not in (None, False)]
    if unwanted:
        raise UnusableInput(f"{', '.join(unwanted)}: has no place in a frame. Send lists for it.")
    parts = long.split(*_limits(connection, call, body, timed=not long.counts_steps))
    steps = [part.read_steps() for part in parts] if long.counts_steps else []

    def ask(index: int, fields: dict[str, Any]) -> Program[dict[str, Any]]:
        if steps:
            return _ask_steps(connection, call, steps[index], fields, timeout)
        if call is FORECAST and can_stream(parts[index]):
            return _ask_stream(connection, parts[index], fields, timeout)
        return _upload_and_ask(connection, call, parts[index], fields, timeout)

    sizes = [part.n_series for part in parts]
    return (yield from ask_all(sizes, body, ask, call.key, call.settled, connection.partition.concurrency))


def _ask_steps(
    connection: Connection, call: Call, steps: Mapping[str, Steps], body: dict[str, Any], timeout: float | None
) -> Program[dict[str, Any]]:
    """Series whose times are counted: they travel as lists."""
    series = Series.read({name: one.values for name, one in steps.items()}).to_json()
    answer: dict[str, Any] = yield from connection.call("POST", call.path, {**body, "series": series}, timeout=timeout)
    for of_one, name in zip(answer[call.key], steps, strict=True):
        one = steps[name]
        of_one["history"] = series[name]
        if "error" in of_one:
            continue
        if call is ANOMALIES:
            of_one["times"] = one.times(0, len(one.values))
        else:
            of_one["times"] = one.times(of_one.get("starts_after", len(one.values) - 1) + 1, answer["horizon"])
    return answer


def _ask_stream(
    connection: Connection, part: LongFrame, body: dict[str, Any], timeout: float | None
) -> Program[dict[str, Any]]:
    """Series with times in one request, of which nothing is kept; as an upload where they are too many for that."""
    content: bytes = yield InThread(lambda: write_stream(part))
    try:
        response = yield from connection.exchange(
            "POST",
            FORECAST.path,
            content,
            ARROW,
            params=make_parameters(part, body),
            headers={"Accept": ARROW if has_typed_times(part) else JSON},
            timeout=timeout,
        )
    except RequestRefused as error:
        if not needs_upload(error):
            raise
        return (yield from _upload_and_ask(connection, FORECAST, part, body, timeout))
    if has_typed_times(part):
        answer: dict[str, Any] = yield InThread(lambda: read_stream(response.content, part))
    else:
        answer = connection.read_json(FORECAST.path, response)
        for of_one in answer["forecasts"]:
            of_one["times"] = of_one.get("timestamps")
    forecasts = answer["forecasts"]
    _check_count(part, len(forecasts))
    answered = [of_one for of_one in forecasts if "error" not in of_one]
    untimed = [of_one["id"] for of_one in answered if of_one["times"] is None]
    found = {"audit": answer.pop("audit", [])}
    if untimed:
        raise _unknown_frequency(part, found, None if len(untimed) == len(answered) else untimed)
    warn_of_findings(found)
    return answer


def _upload_and_ask(
    connection: Connection, call: Call, part: LongFrame, body: dict[str, Any], timeout: float | None
) -> Program[dict[str, Any]]:
    def ask_dataset(dataset: dict[str, Any]) -> Program[dict[str, Any]]:
        return _ask_dataset(connection, call, part, dataset, body, timeout)

    return with_upload(connection, part, timeout, ask_dataset)


def _ask_dataset(
    connection: Connection,
    call: Call,
    part: LongFrame,
    dataset: dict[str, Any],
    body: dict[str, Any],
    timeout: float | None,
) -> Program[dict[str, Any]]:
    """Series with times: the service reads their frequency, and gives times back."""
    _check_count(part, dataset["n_series"])
    if dataset["freq"] is None:
        raise _unknown_frequency(part, dataset)
    answer: dict[str, Any] = yield from connection.call(
        "POST", call.path, {**body, "dataset": dataset["id"]}, timeout=timeout
    )
    answered = [of_one for of_one in answer[call.key] if "error" not in of_one]
    untimed = [of_one["id"] for of_one in answered if "timestamps" not in of_one]
    if untimed:
        raise _unknown_frequency(part, dataset, untimed)
    # All at once: a frame of many short forecasts would take long otherwise.
    stamps = iter(part.read_stamps([stamp for of_one in answered for stamp in of_one["timestamps"]]))
    for of_one in answered:
        of_one["times"] = [next(stamps) for _ in of_one["timestamps"]]
    if call is ANOMALIES:
        records: list[dict[str, Any]] = []
        path = f"/datasets/{dataset['id']}/series"
        yield from consume(connection.pages(path, "series", {"limit": 100}), records.append)
        for of_one, record in zip(answer[call.key], records, strict=True):
            of_one["history"] = record["values"]
    return answer


def _limits(connection: Connection, call: Call, body: Mapping[str, Any], *, timed: bool) -> tuple[int, int]:
    partition = connection.partition
    if call is ANOMALIES:
        return min(partition.max_points, MOST_ANOMALY_POINTS), partition.max_points
    levels, quantiles = body.get("level") or (), body.get("quantiles") or ()
    return partition.max_points, partition.max_series(body.get("horizon"), len(levels), len(quantiles), timed=timed)


def _answered(long: LongFrame, series: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """The series that have an answer, with their places in the frame; a warning says which have none."""
    ids = [of_one.get("id") for of_one in series]
    places = {name: place for place, name in enumerate(long.ids)}
    unknown = [name for name in ids if name is not None and name not in places and long.has_ids]
    _check_count(long, len(series) - len(unknown))
    errors = [
        (name, of_one["error"]["message"]) for name, of_one in zip(long.ids, series, strict=True) if "error" in of_one
    ]
    if errors:
        shown = "\n".join(f"{name}: {message}" for name, message in errors[:SHOWN_SERIES])
        rest = f"\nand {len(errors) - SHOWN_SERIES} more" if len(errors) > SHOWN_SERIES else ""
        warnings.warn(f"{len(errors)} series have no rows in the answer.\n{shown}{rest}", SeriesLeftOut, stacklevel=2)
    return [(places[of_one["id"]] if long.has_ids else 0, of_one) for of_one in series if "error" not in of_one]


def _check_count(long: LongFrame, n_read: int) -> None:
    if n_read != long.n_series:
        raise UnusableInput(
            f"The service knows {n_read} of the {long.n_series} ids of the frame again: it reads some as the same or "
            "otherwise than they are written, such as those that differ in spaces around them alone. Rename them."
        )


def _unknown_frequency(part: LongFrame, dataset: Mapping[str, Any], names: list[str] | None = None) -> FrequencyUnknown:
    of_whom = "the frame" if names is None else f"series {', '.join(map(repr, names[:SHOWN_SERIES]))}"
    findings = [
        describe_finding(finding) for finding in dataset["audit"] if names is None or finding["id"] in (None, *names)
    ]
    said = " ".join(findings[:SHOWN_FINDINGS])
    return FrequencyUnknown(
        f"The times of {of_whom} in the column {part.columns.time!r} follow no one frequency, so that the times of a "
        f"forecast can't be told.{' ' + said if said else ''} Bring them onto a regular grid, forecast series of "
        "different frequencies in frames of their own, or leave the column out to forecast by steps."
    )
