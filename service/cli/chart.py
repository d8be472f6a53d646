"""Draws a series, its forecast and its intervals as text: dots of Braille where a terminal knows them, else ASCII."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

Array = NDArray[np.float64]
Places = NDArray[np.intp]

# Unicode puts eight dots into a character, two beside and four below each other: the bit of each.
BRAILLE = 0x2800
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
HISTORY, FORECAST, FITTED, FRAME = "default", "bold cyan", "yellow", "dim"
BAND_STYLES = ("blue", "cyan")
FEWEST_COLUMNS = 16
FEWEST_ROWS = 5
# Rows of the frame for each number beside it.
ROWS_A_TICK = 3
ROUND_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters of a chart: `bands` from the widest inwards; lines without a character are drawn in dots."""

    bands: tuple[str, str]
    divider: str
    axis: str
    tick: str
    corner: str
    floor: str
    start: str
    fitted: str
    history: str | None = None
    forecast: str | None = None


UNICODE = Glyphs(("░", "▒"), "┊", "│", "┤", "└", "─", "┴", "·")
ASCII = Glyphs((".", ":"), "|", "|", "+", "+", "-", "+", "+", "*", "o")


@dataclass(frozen=True, slots=True)
class Band:
    """An interval at each step of a forecast, [horizon]."""

    name: str
    lower: Array
    upper: Array


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn: `history` [time] and `fitted` [time] with NaN where there is nothing, `forecast` [horizon],
    `bands` from the widest inwards, and a label for each of these points [time + horizon].
    """

    title: str
    history: Array
    forecast: Array
    bands: Sequence[Band]
    labels: Sequence[str]
    fitted: Array | None = None


def draw(picture: Picture, width: int, height: int, glyphs: Glyphs) -> Text:
    """The chart as lines of text with styles.

    Args:
        width: characters of a line, all of it included; a chart is never narrower than it takes to be read.
        height: rows of the frame.
    """
    rows = max(height, FEWEST_ROWS)
    low, high = _find_range(picture)
    ticks = choose_ticks(low, high, max(2, rows // ROWS_A_TICK))
    numbers = _format_ticks(ticks)
    gutter = max(map(len, numbers))
    columns = max(width - gutter - 2, FEWEST_COLUMNS)
    canvas = Canvas(columns, rows, low, high, len(picture.labels))
    n = len(picture.history)
    for i, band in enumerate(picture.bands):
        # Of three bands the inner two look the same.
        canvas.fill(n, band, glyphs.bands[min(i, 1)], BAND_STYLES[min(i, 1)])
    canvas.divide(n, glyphs.divider)
    if picture.fitted is not None:
        canvas.trace(0, picture.fitted, FITTED, glyphs.fitted)
    canvas.trace(0, picture.history, HISTORY, glyphs.history)
    canvas.trace(n, picture.forecast, FORECAST, glyphs.forecast)
    beside = {canvas.row_of(tick): number for tick, number in zip(ticks, numbers, strict=True)}
    text = Text(no_wrap=True, overflow="ignore")
    text.append(f"{picture.title}\n", "bold")
    for row in range(rows):
        mark = glyphs.tick if row in beside else glyphs.axis
        text.append(f"{beside.get(row, ''):>{gutter}} {mark}", FRAME)
        for character, style in zip(canvas.characters[row], canvas.styles[row], strict=True):
            text.append(character, style)
        text.append("\n")
    floor = [glyphs.floor] * columns
    floor[canvas.column_of(n)] = glyphs.start
    text.append(f"{'':>{gutter}} {glyphs.corner}{''.join(floor)}\n", FRAME)
    text.append(f"{'':>{gutter + 2}}{_write_labels(picture, canvas)}\n", FRAME)
    text.append(f"{'':>{gutter + 2}}")
    text.append(_write_legend(picture, glyphs))
    return text


class Canvas:
    """Characters with styles, `rows` by `columns`; points count along the whole width."""

    def __init__(self, columns: int, rows: int, low: float, high: float, n_points: int) -> None:
        self.columns, self.rows, self.low, self.high, self.n_points = columns, rows, low, high, n_points
        self.characters = np.full((rows, columns), " ")
        self.styles = np.full((rows, columns), "", dtype="U20")

    def row_of(self, value: float) -> int:
        return int(self._place_rows(np.array([value]), self.rows)[0])

    def column_of(self, point: int) -> int:
        return int(self._place_columns(np.array([point]), self.columns)[0])

    def fill(self, first: int, band: Band, character: str, style: str) -> None:
        """A band whose first step is the point `first`."""
        begin, end = self.column_of(first), self.column_of(first + len(band.lower) - 1)
        columns = np.arange(begin, end + 1)
        points = columns * (self.n_points - 1) / max(self.columns - 1, 1) - first
        steps = np.arange(len(band.lower))
        top = self._place_rows(np.interp(points, steps, band.upper), self.rows)
        bottom = self._place_rows(np.interp(points, steps, band.lower), self.rows)
        inside = (np.arange(self.rows)[:, None] >= top) & (np.arange(self.rows)[:, None] <= bottom)
        self.characters[:, columns] = np.where(inside, character, self.characters[:, columns])
        self.styles[:, columns] = np.where(inside, style, self.styles[:, columns])

    def divide(self, point: int, character: str) -> None:
        """A line between the point and the one before it, where there is room."""
        column = self.column_of(point) - 1
        if 0 < point < self.n_points and column > self.column_of(point - 1):
            self._put(np.arange(self.rows), np.full(self.rows, column), character, FRAME)

    def trace(self, first: int, values: Array, style: str, character: str | None) -> None:
        """A line through values, of which NaN are gaps: dots, or characters of its own."""
        beside, below = (2, 4) if character is None else (1, 1)
        known = np.flatnonzero(np.isfinite(values))
        x = self._place_columns(first + known, self.columns * beside)
        y = self._place_rows(values[known], self.rows * below)
        x, y = connect(x, y, np.diff(known) == 1)
        if character is not None:
            self._put(y, x, character, style)
            return
        dots = np.zeros((self.rows, self.columns), np.intp)
        np.bitwise_or.at(dots, (y // below, x // beside), DOTS[y % below, x % beside])
        row, column = np.nonzero(dots)
        self._put(row, column, [chr(BRAILLE + bits) for bits in dots[row, column].tolist()], style)

    def _put(self, rows: Places, columns: Places, characters: str | list[str], style: str) -> None:
        if len(rows):
            self.characters[rows, columns] = characters
            self.styles[rows, columns] = style

    def _place_columns(self, points: Places, width: int) -> Places:
        return np.rint(points * (width - 1) / max(self.n_points - 1, 1)).astype(np.intp)

    def _place_rows(self, values: Array, height: int) -> Places:
        share = (self.high - values) / (self.high - self.low)
        return np.rint(np.clip(share, 0, 1) * (height - 1)).astype(np.intp)


def connect(x: Places, y: Places, joined: NDArray[np.bool_]) -> tuple[Places, Places]:
    """All places of a line through places [n]; `joined` [n - 1] says whether one leads to the next."""
    if not len(x):
        return x, y
    dx, dy = np.diff(x)[joined], np.diff(y)[joined]
    steps = np.maximum(np.maximum(np.abs(dx), np.abs(dy)), 1)
    segment = np.repeat(np.arange(len(steps)), steps)
    share = (np.arange(len(segment)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[segment]
    begin = np.flatnonzero(joined)[segment]
    along = np.rint(x[begin] + share * dx[segment]).astype(np.intp)
    across = np.rint(y[begin] + share * dy[segment]).astype(np.intp)
    return np.concatenate([along, x]), np.concatenate([across, y])


def choose_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers within a range, one at least and about as many as asked for; the ends of a range without any."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in ROUND_STEPS if factor * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)] or [low, high]


def _find_range(picture: Picture) -> tuple[float, float]:
    """The lowest and the highest number that is drawn, which are not the same."""
    bounds = [bound for band in picture.bands for bound in (band.lower, band.upper)]
    fitted = [] if picture.fitted is None else [picture.fitted]
    values = np.concatenate([picture.history, picture.forecast, *bounds, *fitted])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    # What differs by rounding alone is drawn as one level; a counter at 3e11 that counts on is not.
    least = 1e-14 * max(abs(low), abs(high)) or 1.0
    if high - low < least:
        margin = 0.1 * max(abs(low), abs(high)) or 1.0
        return low - margin, high + margin
    return low, high


def _format_ticks(ticks: Sequence[float]) -> list[str]:
    """Numbers with as many decimals as tell them apart."""
    largest = max(map(abs, ticks))
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else largest or 1.0
    if largest and not 1e-4 <= largest < 1e15:
        digits = max(1, math.ceil(math.log10(largest / step)) + 2)
        return [f"{tick + 0.0:.{digits}g}" for tick in ticks]
    decimals = min(max(0, math.ceil(-math.log10(step)) + (1 if _has_half(step) else 0)), 12)
    # Minus zero is nothing that anybody measured.
    return [f"{tick + 0.0:,.{decimals}f}" for tick in ticks]


def _has_half(step: float) -> bool:
    """Whether a step is 2.5 times a power of ten, which takes a decimal more."""
    return math.isclose(step / 10.0 ** math.floor(math.log10(step)), 2.5) and step < 10


def _write_labels(picture: Picture, canvas: Canvas) -> str:
    """The labels of the forecast's first point, of the last and of the first point, as far as there is room."""
    n, last = len(picture.history), len(picture.labels) - 1

    def place(point: int, share: float) -> range:
        """Where a label stands of which a share is before its point."""
        size = len(picture.labels[point])
        begin = round(canvas.column_of(point) - share * (size - 1))
        return range(begin := min(max(begin, 0), max(canvas.columns - size, 0)), begin + size)

    end = place(last, 1.0)
    # Below its point or, where that leaves no room for the last one, before it.
    start = next((at for share in (0.5, 1.0) if (at := place(n, share)).stop < end.start), place(n, 0.5))
    line = [" "] * canvas.columns
    for point, at in ((n, start), (last, end), (0, place(0, 0.0))):
        if at.stop <= canvas.columns and not "".join(line[max(at.start - 1, 0) : at.stop + 1]).strip():
            line[at.start : at.stop] = picture.labels[point]
    return "".join(line).rstrip()


def _write_legend(picture: Picture, glyphs: Glyphs) -> Text:
    legend = Text()
    lines = [("history", glyphs.history or "⣀⡠", HISTORY), ("forecast", glyphs.forecast or "⣀⡠", FORECAST)]
    if picture.fitted is not None:
        lines.append(("fitted", glyphs.fitted, FITTED))
    lines += [(band.name, glyphs.bands[min(i, 1)], BAND_STYLES[min(i, 1)]) for i, band in enumerate(picture.bands)]
    for name, sample, style in lines:
        legend.append(sample, style)
        legend.append(f" {name}   ")
    legend.rstrip()
    return legend
