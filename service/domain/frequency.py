"""The frequency of time stamps, and their places on its regular grid. NumPy only."""

import numpy as np
from numpy.typing import NDArray

Stamps = NDArray[np.datetime64]
Places = NDArray[np.int64]

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
DAY_SECONDS = 86_400
# Of the steps between stamps, how many must be whole multiples of the commonest: the others are gaps out of step.
REGULAR_SHARE = 0.9
# 1970-01-01 was a Thursday.
_EPOCH_WEEKDAY = 3


def infer(stamps: Stamps) -> str | None:
    """The pandas offset alias of ascending, different time stamps; None where they are irregular or fewer than three.

    Gaps do no harm as long as most steps are whole.
    """
    if len(stamps) < 3:
        return None
    seconds = stamps.astype("datetime64[s]").astype(np.int64)
    if (stamps.astype("datetime64[us]").astype(np.int64) % 1_000_000).any():
        return None
    if len(np.unique(seconds % DAY_SECONDS)) == 1:
        return _infer_days(seconds // DAY_SECONDS)
    step = _commonest_step(np.diff(seconds))
    if step is None or (DAY_SECONDS % step and step % DAY_SECONDS):
        return None if step is None else _format(step, ((3600, "h"), (60, "min"), (1, "s")))
    return _format(step, ((DAY_SECONDS, "D"), (3600, "h"), (60, "min"), (1, "s")))


def place(stamps: Stamps, freq: str) -> Places:
    """Each stamp's place on the grid of a frequency of `infer` that begins with the first stamp; -1 off the grid."""
    seconds = stamps.astype("datetime64[s]").astype(np.int64)
    days = seconds // DAY_SECONDS
    count, unit, _ = _split(freq)
    if unit in ("s", "min", "h"):
        return _whole(seconds - seconds[0], count * {"s": 1, "min": 60, "h": 3600}[unit])
    if unit in ("D", "W"):
        return _whole(seconds - seconds[0], count * DAY_SECONDS * (7 if unit == "W" else 1))
    dates = days.astype("datetime64[D]")
    at_one_time = seconds % DAY_SECONDS == seconds[0] % DAY_SECONDS
    if unit == "B":
        places = np.busday_count(dates[0], dates)
        return np.where(np.is_busday(dates) & at_one_time, places, -1).astype(np.int64)
    months = _months(days)
    on_edge = _are_last_of_month(dates) if unit[1] == "E" else dates == dates.astype("datetime64[M]")
    places = _whole(months - months[0], count * {"M": 1, "Q": 3, "Y": 12}[unit[0]])
    return np.where(on_edge & at_one_time, places, -1)


def _infer_days(days: Places) -> str | None:
    """Of stamps at one time of day."""
    steps = np.diff(days)
    months = _months(days)
    month_steps = np.diff(months)
    dates = days.astype("datetime64[D]")
    at_start, at_end = (dates == dates.astype("datetime64[M]")).all(), _are_last_of_month(dates).all()
    if (month_steps > 0).all() and (at_start or at_end):
        return _infer_months(months, month_steps, "E" if at_end else "S")
    step = _commonest_step(steps)
    if step is None:
        return None
    if step == 1 and np.is_busday(dates).all() and np.busday_count(dates[0], dates[-1]) < days[-1] - days[0]:
        # Daily but for week-ends, of which at least one was passed.
        return "B"
    if step % 7 == 0:
        weekday = WEEKDAYS[int((days[0] + _EPOCH_WEEKDAY) % 7)]
        return f"{step // 7 if step > 7 else ''}W-{weekday}"
    return _format(step * DAY_SECONDS, ((DAY_SECONDS, "D"),))


def _infer_months(months: Places, steps: Places, edge: str) -> str | None:
    step = _commonest_step(steps)
    if step is None:
        return None
    anchor = MONTHS[int(months[0] % 12)]
    if step % 12 == 0:
        return f"{step // 12 if step > 12 else ''}Y{edge}-{anchor}"
    if step % 3 == 0:
        # Quarters that begin in January also begin in April: the anchor is the first month, at ends the last one.
        anchor = MONTHS[int(months[0] % 3) + (9 if edge == "E" else 0)]
        return f"{step // 3 if step > 3 else ''}Q{edge}-{anchor}"
    return f"{step if step > 1 else ''}M{edge}"


def _commonest_step(steps: Places) -> int | None:
    """The commonest step, where nearly all are whole multiples of it; else their greatest common divisor, if common."""
    values, counts = np.unique(steps, return_counts=True)
    for candidate in (int(values[np.argmax(counts)]), int(np.gcd.reduce(values))):
        if (steps % candidate == 0).mean() >= REGULAR_SHARE and (steps == candidate).mean() >= 0.3:
            return candidate
    return None


def _months(days: Places) -> Places:
    """Months since 1970."""
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _are_last_of_month(dates: Stamps) -> NDArray[np.bool_]:
    return np.asarray((dates + 1).astype("datetime64[M]") != dates.astype("datetime64[M]"))


def _whole(distance: Places, step: int) -> Places:
    return np.where(distance % step == 0, distance // step, -1)


def _format(seconds: int, units: tuple[tuple[int, str], ...]) -> str:
    size, name = next((size, name) for size, name in units if seconds % size == 0)
    count = seconds // size
    return f"{count if count > 1 else ''}{name}"


def _split(freq: str) -> tuple[int, str, str]:
    """Count, unit and anchor."""
    name, _, anchor = freq.partition("-")
    unit = name.lstrip("0123456789")
    return int(name[: len(name) - len(unit)] or 1), unit, anchor
