"""One known series as people's programs write it: read as that series, or refused with the line; never as another."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import combinations, product
from pathlib import Path
from random import Random

import pytest

from service.datasets.file_options import FileOptions
from service.datasets.reader import CSV, read_file
from service.datasets.upload_limits import UploadLimits
from service.domain.panel import Panel
from service.errors import InvalidRequest

LIMITS = UploadLimits(10_000, 10)
FIRST = date(2024, 1, 15)
VALUES = [900 + 25 * (step % 7) + 10 * step for step in range(28)]
SECONDS = 86_400


def count_days(day: date) -> int:
    return (day - date(1970, 1, 1)).days


DIALECTS = {"commas": ",", "semicolons": ";", "tabs": "\t", "bars": "|", "all quoted": ","}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")
LINE_ENDS = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}
STAMPS: dict[str, Callable[[date], str]] = {
    "iso": date.isoformat,
    "iso with time": lambda day: f"{day} 00:00:00",
    "iso with T": lambda day: f"{day}T00:00",
    "zulu": lambda day: f"{day}T00:00:00Z",
    "offset": lambda day: f"{day}T00:00:00+01:00",
    "short offset": lambda day: f"{day} 00:00:00+01",
    "utc": lambda day: f"{day} 00:00:00 UTC",
    "blanks": lambda day: f" {day} ",
    "digits": lambda day: f"{day:%Y%m%d}",
    "year/month/day": lambda day: f"{day:%Y/%m/%d}",
    "day.month.year": lambda day: f"{day:%d.%m.%Y}",
    "day/month/year": lambda day: f"{day:%d/%m/%Y}",
    "month/day/year": lambda day: f"{day:%m/%d/%Y}",
    "seconds": lambda day: str(SECONDS * count_days(day)),
    "milliseconds": lambda day: str(1000 * SECONDS * count_days(day)),
    "nanoseconds": lambda day: str(10**9 * SECONDS * count_days(day)),
    "fractions to nanoseconds": lambda day: f"{day}T00:00:00.000000000",
    "24:00": lambda day: f"{day - timedelta(1)} 24:00",
    "zone by name": lambda day: f"{day}T00:00:00+01:00[Europe/Berlin]",
    "serial days": lambda day: str(count_days(day) + 25_569),
    "week days": lambda day: day.strftime("%G-W%V-%u"),
    "days of the year": lambda day: f"{day:%Y-%j}",
    "day and month by name": lambda day: f"{day:%d %b %Y}",
    "long month by name": lambda day: f"{day:%B %d, %Y}",
    "short years by name": lambda day: f"{day:%d-%b-%y}",
}


def group(value: int, sign: str, end: str = "") -> str:
    return f"{value:,}".replace(",", sign) + end


NUMBERS: dict[str, Callable[[int], str]] = {
    "plain": str,
    "two places": lambda value: f"{value}.00",
    "decimal commas": lambda value: f"{value},00",
    "english groups": lambda value: group(value, ","),
    "english groups and places": lambda value: group(value, ",", ".00"),
    "german groups": lambda value: group(value, "."),
    "german groups and places": lambda value: group(value, ".", ",00"),
    "no-break spaces": lambda value: group(value, "\u00a0"),
    "apostrophes": lambda value: group(value, "'"),
    "euros": lambda value: f"{value}.00 \u20ac",
}
# Whether 975 and 1.025 are grouped, only a delimiter may tell.
UNCERTAIN_NUMBERS = {"english groups", "german groups"}

Table = list[list[str]]


def leave(name: str, rows: Table) -> Table:
    """A table with its header, and with what a program leaves in it."""
    header, *data = rows
    total = ["Total", *(str(sum(VALUES)) for _ in header[1:])]
    return {
        "nothing": rows,
        "newest first": [header, *reversed(data)],
        "a total": [*rows, total],
        "rows of delimiters": [*rows[:10], ["" for _ in header], *rows[10:], ["" for _ in header]],
        "a delimiter at each end": [[*row, ""] for row in rows],
        "blank first lines": [[], [], *rows],
        "an index": [["", *header], *([str(i), *row] for i, row in enumerate(data))],
        "a note": [*rows, ["Source: the till"]],
        "the header again": [*rows[:10], header, *rows[10:]],
        "other names": [["Datum", "Umsatz in K\u00f6ln"], *data],
        "wide": [["Datum", "K\u00f6ln", "Ulm"], *([day, value, value] for day, value in data)],
        "ids": [["unique_id", *header], *(["K\u00f6ln", *row] for row in data)],
        "sep=": rows,
    }[name]


LEFTOVERS = ("nothing", "newest first", "a total", "rows of delimiters", "a delimiter at each end", "blank first lines",
             "an index", "a note", "the header again", "other names", "wide", "ids", "sep=")  # fmt: skip
WAYS = (tuple(DIALECTS), ENCODINGS, tuple(LINE_ENDS), tuple(STAMPS), tuple(NUMBERS), LEFTOVERS)


def write(variant: tuple[str, ...]) -> bytes:
    dialect, encoding, line_end, stamp, number, leftover = variant
    data = [
        [STAMPS[stamp](FIRST + timedelta(step)), NUMBERS[number](value)] for step, value in enumerate(VALUES)
    ]  # fmt: skip
    sink = io.StringIO()
    writer = csv.writer(
        sink,
        delimiter=DIALECTS[dialect],
        lineterminator=LINE_ENDS[line_end],
        quoting=csv.QUOTE_ALL if dialect == "all quoted" else csv.QUOTE_MINIMAL,
    )
    if leftover == "sep=":
        sink.write(f"sep={DIALECTS[dialect]}{LINE_ENDS[line_end]}")
    writer.writerows(leave(leftover, [["ds", "y"], *data]))
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    return mark + sink.getvalue().encode(encoding)


def pair_all() -> Iterator[tuple[str, ...]]:
    """Variants in which every two ways of writing meet, each as different as may be from those before."""
    random = Random(0)
    wanted = {
        ((i, one), (j, other))
        for (i, first), (j, second) in combinations(enumerate(WAYS), 2)
        for one, other in product(first, second)
    }
    while wanted:
        fixed = dict(random.choice(sorted(wanted)))
        drafts = [
            tuple(fixed.get(i, random.choice(way)) for i, way in enumerate(WAYS)) for _ in range(50)
        ]  # fmt: skip
        best = max(drafts, key=lambda draft: len(wanted & set(combinations(enumerate(draft), 2))))
        wanted -= set(combinations(enumerate(best), 2))
        yield best


VARIANTS = [*dict.fromkeys(pair_all())]


def read(folder: Path, content: bytes, options: FileOptions | None = None) -> Panel:
    (folder / "upload").write_bytes(content)
    return read_file(folder / "upload", CSV, LIMITS, options or FileOptions())[0]


def assert_same(panel: Panel, variant: tuple[str, ...]) -> None:
    ids = {"wide": ("K\u00f6ln", "Ulm"), "ids": ("K\u00f6ln",)}.get(variant[-1], ("0",))
    assert panel.ids == ids
    assert panel.freq == "D"
    for values, start in zip(panel.values, panel.starts, strict=True):
        assert values.tolist() == VALUES
        assert start is not None
        assert start[:10] == FIRST.isoformat()


def test_every_pair_of_ways_is_there_and_most_have_to_be_read() -> None:
    assert len(VARIANTS) >= 60
    assert sum(is_certain(variant) for variant in VARIANTS) >= 60


def is_certain(variant: tuple[str, ...]) -> bool:
    return variant[4] not in UNCERTAIN_NUMBERS


@pytest.mark.parametrize("variant", VARIANTS, ids=", ".join)
def test_a_variant_is_read_as_the_series_or_refused_with_its_line(tmp_path: Path, variant: tuple[str, ...]) -> None:
    content = write(variant)
    try:
        panel = read(tmp_path, content)
    except InvalidRequest as error:
        refusal = error.flaws[0].message
    else:
        assert_same(panel, variant)
        return
    assert not is_certain(variant), refusal
    line = re.search(r"line (\d+) of the file", refusal)
    assert line is not None, refusal
    encoding = variant[1]
    lines = content.decode(encoding).splitlines()
    assert 1 < int(line[1]) <= len(lines)


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant[4] in UNCERTAIN_NUMBERS], ids=", ".join)
def test_uncertain_digits_are_read_where_the_sender_says_what_groups_them(
    tmp_path: Path, variant: tuple[str, ...]
) -> None:
    said = FileOptions(thousands="," if variant[4] == "english groups" else ".")
    assert_same(read(tmp_path, write(variant), said), variant)


# Forms of months, quarters, weeks and years, each with the frequency and the first days that it writes.
PERIODS: dict[str, tuple[str, str, Callable[[int], str]]] = {
    "2020-02": ("MS", "2020-02-01", lambda step: f"{2020 + (step + 1) // 12}-{(step + 1) % 12 + 1:02}"),
    "202002": ("MS", "2020-02-01", lambda step: f"{2020 + (step + 1) // 12}{(step + 1) % 12 + 1:02}"),
    "2020M02": ("MS", "2020-02-01", lambda step: f"{2020 + (step + 1) // 12}M{(step + 1) % 12 + 1:02}"),
    "02/2020": ("MS", "2020-02-01", lambda step: f"{(step + 1) % 12 + 1:02}/{2020 + (step + 1) // 12}"),
    "Feb 2020": ("MS", "2020-02-01", lambda step: f"{date(2020 + (step + 1) // 12, (step + 1) % 12 + 1, 1):%b %Y}"),
    "Feb-20": ("MS", "2020-02-01", lambda step: f"{date(2020 + (step + 1) // 12, (step + 1) % 12 + 1, 1):%b-%y}"),
    "February 2020": (
        "MS",
        "2020-02-01",
        lambda step: f"{date(2020 + (step + 1) // 12, (step + 1) % 12 + 1, 1):%B %Y}",
    ),
    "2020Q2": ("QS-JAN", "2020-04-01", lambda step: f"{2020 + (step + 1) // 4}Q{(step + 1) % 4 + 1}"),
    "2020-Q2": ("QS-JAN", "2020-04-01", lambda step: f"{2020 + (step + 1) // 4}-Q{(step + 1) % 4 + 1}"),
    "Q2 2020": ("QS-JAN", "2020-04-01", lambda step: f"Q{(step + 1) % 4 + 1} {2020 + (step + 1) // 4}"),
    "2020-W52": ("W-MON", "2020-12-21", lambda step: f"{date(2020, 12, 21) + timedelta(7 * step):%G-W%V}"),
    "1990": ("YS-JAN", "1990-01-01", lambda step: str(1990 + step)),
    "1990-12-31": ("YE-DEC", "1990-12-31", lambda step: f"{1990 + step}-12-31"),
}


@pytest.mark.parametrize("number", sorted(NUMBERS.keys() - UNCERTAIN_NUMBERS))
@pytest.mark.parametrize("form", PERIODS)
def test_periods_of_every_form_are_read_with_their_frequency(tmp_path: Path, form: str, number: str) -> None:
    freq, first, stamp = PERIODS[form]
    assert stamp(0) == form
    lines = [f"{stamp(step)};{NUMBERS[number](value)}" for step, value in enumerate(VALUES)]
    panel = read(tmp_path, "\n".join(["ds;y", *lines, ""]).encode())
    assert (panel.freq, panel.starts) == (freq, (first,))
    assert panel.values[0].tolist() == VALUES
