"""Where series are forecast from to score a model, what was measured after that, and series that can't be scored."""

from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from service.domain.panel_windows import FlatPanel, Positions, flatten_panel
from service.domain.splits import Split, split

Array = NDArray[np.float64]

# Most have what is looked for in the first of them.
SERIES_AT_ONCE = 100


def find_scored(
    rows: FlatPanel, origins: tuple[Positions, Positions], horizon: int, min_history: int
) -> tuple[Positions, Positions, Array]:
    """The origins after which anything was measured: their series, their ends, and what came after [n, horizon].

    An origin in a gap is moved back to where the gap begins; origins that are so moved to the same point are one.
    """
    series, ends = origins
    series, ends = np.unique(np.stack([series, rows.last_measured(series, ends, min_history)]), axis=1)
    actual = rows.futures(series, ends, horizon)
    known = ~np.isnan(actual).all(axis=1)
    return series[known], ends[known], actual[known]


def describe_shortage(rows: FlatPanel, cut: Split, horizon: int, trained_horizon: int, min_history: int) -> str | None:
    """Why no model can be trained on series and scored; None where one can.

    Args:
        cut: of these series.
        horizon: the steps that are scored.
        trained_horizon: those that the model learns.
    """
    if _are_too_short(cut, trained_horizon, min_history):
        return _tell_too_short(horizon, min_history)
    if len(find_scored(rows, cut.validation, horizon, min_history)[0]):
        return None
    return _tell_gaps(horizon)


def describe_shortage_of(
    values: Iterable[Array], lengths: Positions, horizon: int, trained_horizon: int, min_history: int
) -> str | None:
    """As `describe_shortage`, of series [time] that begin and end with a number, NaN for missing ones.

    They are asked for one by one, and only as far as it takes.

    Args: `lengths` are theirs [n_series].
    """
    cut = split(lengths, horizon, min_history)
    if _are_too_short(cut, trained_horizon, min_history):
        return _tell_too_short(horizon, min_history)
    series, ends = cut.validation
    rest = iter(values)
    first = 0
    while some := list(islice(rest, SERIES_AT_ONCE)):
        own = (series >= first) & (series < first + len(some))
        if own.any():
            rows = flatten_panel(some, some.__getitem__)
            if len(find_scored(rows, (series[own] - first, ends[own]), horizon, min_history)[0]):
                return None
        first += len(some)
    return _tell_gaps(horizon)


def _are_too_short(cut: Split, trained_horizon: int, min_history: int) -> bool:
    return not len(cut.validation[0]) or not bool((cut.train_ends >= min_history + trained_horizon).any())


def _tell_too_short(horizon: int, min_history: int) -> str:
    return (
        f"No series is long enough: training, validation and test need {min_history + 2 * horizon} points of a series "
        "at least. Send more history, or ask for a shorter horizon."
    )


def _tell_gaps(horizon: int) -> str:
    return (
        f"No series has a number within the {horizon} points after the last one known at any origin of validation, "
        f"which lie before the last {horizon} points: the gaps there are longer. Send the values that are missing, ask "
        "for a longer horizon, or use a coarser freq, such as weeks for days, under which the gaps close."
    )
