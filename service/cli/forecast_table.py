"""The answer of POST /forecast as a table for a file, as the service itself writes it."""

import json
import sys
from typing import Any

import numpy as np

from service.datasets.answer_table import write_table
from service.datasets.reader import CSV, PARQUET
from service.domain.forecast_columns import USUAL_NAMES, ForecastColumns, RowNames

MEDIA_TYPES = {"csv": CSV, "parquet": PARQUET}
OWN_NAMES = ("forecast", "step", "error")


def make_table(answer: dict[str, Any], table_format: str, names: RowNames) -> bytes:
    """Rows of ids, times, forecasts and bounds, one for each step of each series: CSV or Parquet.

    Args:
        answer: the JSON of POST /forecast, at least one of whose series has a forecast.
        names: the names of the columns of ids and times.
    """
    series = answer["forecasts"]
    good = [one for one in series if "error" not in one]
    columns = {"forecast": [one["values"] for one in good]}
    for level in good[0].get("intervals", ()):
        columns[f"lo-{level}"] = [one["intervals"][level]["lower"] for one in good]
        columns[f"hi-{level}"] = [one["intervals"][level]["upper"] for one in good]
    for quantile in good[0].get("quantiles", ()):
        columns[f"q-{quantile}"] = [one["quantiles"][quantile] for one in good]
    made = ForecastColumns(
        [one["id"] for one in series],
        answer["horizon"],
        {name: np.array(values, np.float64).ravel() for name, values in columns.items()},
        [one.get("timestamps") for one in good],
        [f"{one['error']['code']}: {one['error']['message']}" if "error" in one else None for one in series],
        _settle(names, [*columns, *OWN_NAMES]),
    )
    head = json.dumps({name: value for name, value in answer.items() if name != "forecasts"}).encode()
    return b"".join(write_table(made, MEDIA_TYPES[table_format], head))


def _settle(names: RowNames, taken: list[str]) -> RowNames:
    """The file's own names, but for those that the table needs for something else."""
    usual = USUAL_NAMES
    settled = RowNames(
        usual.id if names.id in taken or names.id == usual.time else names.id,
        usual.time if names.time in taken or names.time == usual.id else names.time,
    )
    for old, new in ((names.id, settled.id), (names.time, settled.time)):
        if old != new:
            print(f"outfielder: the column {old!r} is called {new!r} in the table.", file=sys.stderr)
    return settled
