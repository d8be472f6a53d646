"""Picks series of a file by their ids."""

from difflib import get_close_matches
from typing import Any

import typer

from service.domain.series import PostedSeries, split

SHOWN = 5
# The search for near ids takes as long as there are ids.
MOST_COMPARED = 20_000


def choose_series(posted: Any, wanted: list[str]) -> list[PostedSeries]:
    """The series with these ids, in this order.

    Args:
        posted: series in any form of POST /forecast.

    Raises:
        BadParameter: the file has no such series; the message names those that may be meant.
        InvalidRequest: they have another form.
    """
    series = split(posted)
    by_id = {one.id: one for one in series}
    unknown = next((name for name in wanted if name not in by_id), None)
    if unknown is not None:
        raise typer.BadParameter(_explain(unknown, list(by_id)), param_hint="--series")
    return [by_id[name] for name in dict.fromkeys(wanted)]


def to_records(series: list[PostedSeries]) -> list[dict[str, Any]]:
    """Series as records of a request."""
    return [
        {"id": one.id, "values": one.values, **({} if one.start is None else {"start": one.start})} for one in series
    ]


def _explain(unknown: str, ids: list[str]) -> str:
    folded = {name.casefold(): name for name in reversed(ids[:MOST_COMPARED])}
    key = unknown.strip().casefold()
    near = [folded[key]] if key in folded else [folded[name] for name in get_close_matches(key, folded, n=SHOWN)]
    # Of store_1 there may be a hundred items.
    near = near or [name for name in ids[:MOST_COMPARED] if key and key in name.casefold()][:SHOWN]
    if near:
        return f"the file has no series {unknown!r}. Did you mean {' or '.join(map(repr, near))}?"
    shown = ", ".join(map(repr, ids[:SHOWN])) + (f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else "")
    return f"the file has no series {unknown!r}. It has {shown}."
