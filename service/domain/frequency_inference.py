"""Which regular grid time stamps lie on, told from the stamps alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.domain import frequency_grid
from service.domain.time_grids import (
    BUSINESS_DAYS,
    DAY_US,
    BusinessEdge,
    EvenGrid,
    Grid,
    MonthDay,
    MonthGrid,
    MonthRule,
    NthWeekday,
    OpenDayGrid,
    Places,
    Stamps,
    first_day,
    month_of,
    to_us,
    weekday,
)
from service.errors import InvalidRequest

Mask = NDArray[np.bool_]

# Of the stamps, how many may be off the grid; of five and more one may be in any case.
STRAY_SHARE = 0.1
FEWEST_WITH_A_STRAY = 5
# More may be, up to a third, where each is off by no more than a quarter of a step and has a place of its own.
LATE_SHARE, LATE_STEPS, FEWEST_WITH_LATE = 1 / 3, 0.25, 6
# Where all are off, steps that clocks are set to, and how far from its place a stamp may be, in steps.
_SECOND_US = 10**6
USUAL_STEPS_US = (
    *(_SECOND_US * seconds for seconds in (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200)),
    *(3600 * _SECOND_US * hours for hours in (3, 4, 6, 8, 12, 24)),
)
UNSTEADY_STEPS = 0.05
# Of the steps between stamps, how many must be single steps of the grid: with fewer it is a guess.
SINGLE_SHARE = 0.3
# A weekday that never occurs is closed where chance would leave it out less often than this.
CHANCE = 1e-3
FEWEST_PASSES = 3
# Of so many stamps one may be on a closed day.
FEWEST_BUSINESS_DAYS, FEWEST_OPEN_DAYS = 20, 50


@dataclass(frozen=True, slots=True, eq=False)
class GridFit:
    """`places` [stamps] on a grid whose place 0 is the first, -1 off the grid; `is_late` [stamps] was moved there."""

    grid: Grid
    places: Places
    is_late: Mask

    @property
    def freq(self) -> str:
        """The grid's pandas offset alias."""
        return frequency_grid.name(self.grid)


def fit(stamps: Stamps) -> GridFit | None:
    """The grid of ascending, different stamps; None where they are irregular or fewer than three.

    Gaps do no harm as long as many steps are single ones. A stamp between two places is put on the free one beside it.
    """
    if len(stamps) < 3:
        return None
    us = to_us(stamps)
    steps = np.diff(us)
    if (steps == steps[0]).all() and steps[0] < 28 * DAY_US:
        return GridFit(EvenGrid(int(us[0]), int(steps[0])), np.arange(len(us)), np.zeros(len(us), bool))
    candidates = list(_candidates(us))
    for grid, is_certain in candidates:
        judged = _judge(grid, stamps, is_strict=not is_certain)
        if judged is not None:
            return judged
    with_strays = [_judge(grid, stamps, is_strict=False) for grid, _ in candidates]
    fits = [candidate for candidate in with_strays if candidate is not None]
    return min(fits, key=_count_strays) if fits else _fit_unsteady(stamps)


def _fit_unsteady(stamps: Stamps) -> GridFit | None:
    """A grid of a usual step on which stamps lie about, each by a place of its own, as unsteady clocks write them."""
    us = to_us(stamps)
    middle = float(np.median(np.diff(us)))
    step = min(USUAL_STEPS_US, key=lambda usual: abs(usual - middle))
    if len(us) < FEWEST_WITH_LATE or abs(step - middle) > UNSTEADY_STEPS * step:
        return None
    # Around the first stamp, for what is a little before midnight is not a day after what is a little behind it.
    away = (us - us[0] + step // 2) % step - step // 2
    shift, spread = int(np.median(away)), int(away.max() - away.min())
    if spread > 2 * UNSTEADY_STEPS * step:
        return None
    # The roundest time among those that are no farther off than the stamps are from each other.
    phase = us[0] + shift
    for unit in (*(usual for usual in reversed(USUAL_STEPS_US) if usual <= min(step, DAY_US // 24)), 1):
        rounded = (phase + unit // 2) // unit * unit
        if abs(rounded - phase) <= spread:
            break
    grid = EvenGrid(int(rounded), step)
    nearest = (us - rounded + step // 2) // step
    if (np.diff(nearest) < 1).any() or (np.diff(nearest) == 1).mean() < SINGLE_SHARE:
        return None
    moved, places = _begin(grid, nearest, np.ones(len(us), bool))
    return GridFit(moved, places, grid.at(nearest) != stamps)


def infer(stamps: Stamps) -> str | None:
    """The pandas offset alias of `fit`."""
    grid_fit = fit(stamps)
    return None if grid_fit is None else grid_fit.freq


def place(stamps: Stamps, freq: str) -> Places:
    """Each stamp's place on the grid of a frequency that begins with the first stamp; -1 off the grid."""
    try:
        grid = frequency_grid.anchor(freq, stamps[0])
    except InvalidRequest:
        return np.full(len(stamps), -1)
    places = grid.find(stamps)
    return np.where(grid.at(places) == stamps, places, -1)


def _candidates(us: Places) -> Iterator[tuple[Grid, bool]]:
    """Grids in the order of preference, and whether each holds against a stray before the next one is tried."""
    times = us % DAY_US
    time, share = _most_common(times)
    if len(us) - share <= _most_strays(len(us)):
        days = us[times == time] // DAY_US
        if len(days) > 1:
            yield from _day_candidates(days, time)
    for step in _steps(np.diff(us)):
        yield _even(us, step), False


def _day_candidates(days: Places, time_us: int) -> Iterator[tuple[Grid, bool]]:
    months = month_of(days)
    of_month = days - first_day(months) + 1
    month_steps = np.diff(months)
    in_months: list[tuple[int, int]] = []
    if (month_steps > 0).sum() >= len(month_steps) - _most_strays(len(days)):
        for step in _steps(month_steps[month_steps > 0]):
            phase, _ = _most_common(months % step)
            in_months.append((int(months[months % step == phase][0]), step))
    for month, step in in_months:
        for day in dict.fromkeys((31, _most_common(of_month)[0], int(of_month.max()))):
            yield MonthGrid(month, time_us, MonthDay(day), step), False
    mask = _open_days(days, time_us)
    if mask is not None:
        yield mask, True
    for step in _steps(np.diff(days)):
        yield _even(days * DAY_US + time_us, step * DAY_US), False
    rules: list[MonthRule] = [BusinessEdge(False), BusinessEdge(True)]
    common_weekday, _ = _most_common(weekday(days))
    # Where the fourth is the last one in all months, the last is what people mean.
    rules += [NthWeekday(common_weekday, n) for n in (0, 1, 2, 3, 4)]
    for month, step in in_months:
        for rule in rules:
            yield MonthGrid(month, time_us, rule, step), False


def _open_days(days: Places, time_us: int) -> OpenDayGrid | None:
    """The days of the week that are open, where the others were passed too often to be left out by chance."""
    counts = np.bincount(weekday(days), minlength=7)
    # One stamp on a closed day is a stray, if it has a place beside it. Week-ends are known to be closed.
    is_open = counts > 1
    if len(days) < (FEWEST_BUSINESS_DAYS if _digits(is_open) == BUSINESS_DAYS else FEWEST_OPEN_DAYS):
        is_open = counts > 0
    if is_open.all() or is_open.sum() < 2:
        return None
    digits = _digits(is_open)
    begin, end = np.datetime64(int(days[0]), "D"), np.datetime64(int(days[-1]) + 1, "D")
    on_open_days = days[is_open[weekday(days)]]
    n_open = int(np.busday_count(begin, end, weekmask=digits))
    # The share of open days without a stamp, by Laplace's rule of succession: of few days none may be missing by luck.
    absent = (n_open - len(on_open_days) + 1) / (n_open + 2)
    closed_days = np.busday_count(begin, end, weekmask=_digits(~is_open))
    passes = int(closed_days) // int((~is_open).sum())
    # One week-end that was passed is enough.
    is_week_end = digits == BUSINESS_DAYS and closed_days > 0
    if not is_week_end and (passes < FEWEST_PASSES or absent**passes > CHANCE):
        return None
    return OpenDayGrid(int(on_open_days[0]), time_us, digits)


def _count_strays(grid_fit: GridFit) -> int:
    return int(grid_fit.is_late.sum() + (grid_fit.places < 0).sum())


def _digits(is_open: Mask) -> str:
    return "".join("1" if day_is_open else "0" for day_is_open in is_open)


def _judge(grid: Grid, stamps: Stamps, is_strict: bool) -> GridFit | None:
    """The fit of a grid, or None; a strict one has each stamp on the grid."""
    try:
        before = grid.find(stamps)
        exact = grid.at(before) == stamps
        n_strays = int((~exact).sum())
        is_usual = n_strays <= _most_strays(len(stamps))
        is_tolerable = is_usual or (len(stamps) >= FEWEST_WITH_LATE and n_strays <= LATE_SHARE * len(stamps))
        if exact.sum() < 2 or not is_tolerable or (is_strict and n_strays):
            return None
        if (np.diff(before[exact]) == 1).mean() < SINGLE_SHARE:
            return None
        places, is_placed = before.copy(), exact.copy()
        if n_strays:
            shift = _settle(grid, stamps, before, exact, places, is_placed)
            if not is_usual and (not is_placed.all() or shift > LATE_STEPS):
                return None
            if isinstance(grid, OpenDayGrid) and not is_placed.all():
                # A day that is open after all: no step is left out for it.
                return None
        grid, places = _begin(grid, places, is_placed)
    except OverflowError:
        return None
    return GridFit(grid, np.where(is_placed, places, -1), is_placed & ~exact)


def _settle(grid: Grid, stamps: Stamps, before: Places, exact: Mask, places: Places, is_placed: Mask) -> float:
    """Puts stamps that are off the grid on a free place beside them. Returns the longest way, in steps."""
    taken = before[exact]
    strays = np.flatnonzero(~exact)
    lower = before[strays]
    ends = grid.at(lower), grid.at(lower + 1)
    back, ahead = to_us(stamps[strays]) - to_us(ends[0]), to_us(ends[1]) - to_us(stamps[strays])
    is_lower_free, is_upper_free = ~np.isin(lower, taken), ~np.isin(lower + 1, taken)
    # At an end of the series both places are free: the one that leaves no gap.
    is_joined, is_joined_above = np.isin(lower - 1, taken), np.isin(lower + 2, taken)
    is_at_end = (strays == 0) | (strays == len(stamps) - 1)
    is_nearer = np.where(is_at_end & (is_joined != is_joined_above), is_joined, back <= ahead)
    goes_back = is_lower_free & (is_nearer | ~is_upper_free)
    wanted = np.where(goes_back, lower, lower + 1)
    _, firsts = np.unique(wanted, return_index=True)
    is_first = np.zeros(len(strays), bool)
    is_first[firsts] = True
    settled = (is_lower_free | is_upper_free) & is_first
    places[strays] = wanted
    is_placed[strays] = settled
    ways = np.where(goes_back, back, ahead) / (back + ahead)
    return float(ways[settled].max(initial=0.0))


def _begin(grid: Grid, places: Places, is_placed: Mask) -> tuple[Grid, Places]:
    """The same grid with its first place at 0."""
    first = int(places[is_placed].min())
    if isinstance(grid, MonthGrid) and isinstance(grid.rule, MonthDay):
        # Of a series on the 30th that begins in February, the day can't be told from its first stamp: it begins a step
        # earlier, with nothing.
        while grid.rule.day < 31 and _day_of_month(grid, first) != grid.rule.day:
            first -= 1
    origin = int(to_us(grid.at(np.array([first])))[0])
    if isinstance(grid, EvenGrid):
        moved: Grid = replace(grid, origin_us=origin)
    elif isinstance(grid, OpenDayGrid):
        moved = replace(grid, origin_day=origin // DAY_US)
    else:
        assert isinstance(grid, MonthGrid)
        moved = replace(grid, origin_month=grid.origin_month + first * grid.step)
    return moved, places - first


def _day_of_month(grid: MonthGrid, place_: int) -> int:
    days = to_us(grid.at(np.array([place_]))) // DAY_US
    return int((days - first_day(month_of(days)) + 1)[0])


def _even(us: Places, step: int) -> EvenGrid:
    """Equal steps through most of the stamps."""
    phase, _ = _most_common(us % step)
    return EvenGrid(int(us[us % step == phase][0]), step)


def _steps(steps: Places) -> list[int]:
    """The commonest step, and the greatest common divisor of all."""
    return list(dict.fromkeys((_most_common(steps)[0], int(np.gcd.reduce(steps)))))


def _most_common(values: Places) -> tuple[int, int]:
    """The commonest value, and how often it occurs."""
    distinct, counts = np.unique(values, return_counts=True)
    index = int(np.argmax(counts))
    return int(distinct[index]), int(counts[index])


def _most_strays(n: int) -> int:
    return max(int(STRAY_SHARE * n), 1 if n >= FEWEST_WITH_A_STRAY else 0)
