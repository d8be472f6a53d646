"""Column names: the standard ones, those that an option names, and those that suggest a content."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from service.datasets.arrow_columns import quote
from service.datasets.file_options import FileOptions
from service.errors import InvalidRequest

ID, TIME, VALUE = COLUMNS = ("unique_id", "ds", "y")
TIME_NAMES = (
    "date", "time", "datetime", "timestamp", "year", "month", "quarter", "week", "day", "period", "datum", "jahr",
    "monat", "fecha", "mes", "dia", "data", "mois", "an", "annee", "jour", "zeit", "dt", "yyyymm", "yyyymmdd", "epoch",
    "t", "ts", "tag", "uhrzeit", "hour", "heure", "hora", "ora", "woche", "quartal", "date_time", "time_stamp",
    "unixtime", "unix_time", "epoch_ms", "timestamp_ms", "observation_date", "order_date", "invoice_date",
)  # fmt: skip
# Names of columns that are parts of a year, a week or a day: a table with times on both sides, not one series each.
PARTS_OF_TIME = re.compile(
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?)\.?|q[1-4]|"
    r"\d{1,2}:\d{2}|h\d{1,2}",
    re.IGNORECASE,
)
ID_NAMES = (
    "id", "store", "shop", "item", "sku", "product", "series", "series_id", "item_id", "store_id", "store_nbr",
    "product_id", "article", "customer", "customer_id", "region", "site", "sensor", "meter", "station", "location",
    "filiale", "artikel", "group", "key", "name", "code", "branch", "part", "part_id", "device", "device_id",
)  # fmt: skip


def find_named(names: Sequence[str], options: FileOptions) -> dict[str, int]:
    """The positions of the roles that have a name: an option's, else the standard one."""
    plain = [name.strip().lower() for name in names]
    named: dict[str, int] = {}
    for role, option, asked in (
        (ID, "id_column", options.id_column),
        (TIME, "time_column", options.time_column),
        (VALUE, "target_column", options.target_column),
    ):
        if asked is not None:
            exact = [i for i, name in enumerate(names) if name == asked]
            close = exact or [i for i, name in enumerate(plain) if name == asked.strip().lower()]
            if len(close) != 1:
                shown = ", ".join(quote(name) for name in names[:20])
                message = f"There is no column {quote(asked)}, which {option} names: the columns are {shown}."
                raise InvalidRequest.at(f"/{option}", "unknown_column", message)
            named[role] = close[0]
    if len(set(named.values())) < len(named):
        message = "Two of id_column, time_column and target_column name the same column: they must differ."
        raise InvalidRequest.at("/target_column", "duplicate_column", message)
    for role in COLUMNS:
        if role not in named and role in plain and plain.index(role) not in named.values():
            named[role] = plain.index(role)
    return named


def check_names(names: Sequence[str]) -> None:
    """Raises InvalidRequest where two columns have one name."""
    plain = [name.strip().lower() for name in names if name.strip()]
    double = next((name for i, name in enumerate(plain) if name in plain[:i]), None) if len(plain) < 1000 else None
    if double is not None or len(set(plain)) < len(plain):
        shown = f" ({quote(double)})" if double else ""
        raise InvalidRequest.at(
            "/columns",
            "duplicate_column",
            f"Two columns have the same name{shown}: names must differ. If the header has several lines, keep one.",
        )


def refuse_column(name: str) -> InvalidRequest:
    """The error of a column that has no role beside those of the standard."""
    close = get_close_matches(name.lower(), COLUMNS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return InvalidRequest.at(
        "/columns",
        "unknown_column",
        f"There is a column {quote(name)}: expected {', '.join(COLUMNS)}.{hint} Delete it, or name the columns that "
        "count with id_column, time_column and target_column.",
    )


def show_name(names: Sequence[str], column: int) -> str:
    """A column's name in a message, or its number where it has none."""
    return quote(names[column]) if names[column].strip() else f"column {column + 1} (without a name)"


def show_some(names: Sequence[str], columns: Sequence[int]) -> str:
    """The names of a few columns in a message."""
    shown = ", ".join(quote(names[i]) for i in columns[:3])
    return shown + (", .." if len(columns) > 3 else "")
