"""Classifies cells by their shape: a number, a number that may be a time, or neither."""

import re

# Signs of currencies, their codes, and words that stand for them; in RE2's grammar as well as in Python's.
CURRENCY = (
    r"(?:R\$|[$¢-¥₠-₿]|\b(?:AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|HKD|HUF|INR|JPY|KRW|MXN|NOK|NZD|PLN|RON|RUB|SEK|SGD|TRY|"
    r"USD|ZAR|Rs|Fr|kr|zł|Kč|Ft|lei|TL)\.?)"
)
# A year, a day as 20240131, a second as 20240131060000, or a count since 1970: times where a column's name says so.
_NUMERIC_TIME = re.compile(
    r"(?:1[6-9]|2[01])\d{2}(?:\d{2}(?:\d{2}(?:\d{6})?)?)?|\d{9,10}(?:\.\d+)?|\d{12,13}|\d{15,16}|\d{18,19}"
)
# Days since 1900 as spreadsheets count them, from 1954 to 2118.
_SERIAL_DAY = re.compile(r"[2-7]\d{4}(?:[.,]\d+)?")
_DIGITS = re.compile(r"\d")
_NUMBER = re.compile(
    rf"""[-+(\u2212]?\s*{CURRENCY}?\s*[-+\u2212]?        # signs
    (?:\d+|\d{{1,3}}(?:[ '\u2019.,_\u00a0\u2009\u202f]\d{{2,3}})*)?(?:[.,]\d*)?(?:[eE][-+]?\d+)?
    \s*(?:%|{CURRENCY})?\s*(?:[-)\u2212]|[-\u2013\u2014]{{1,2}})?""",
    re.VERBOSE,
)


def is_numeric_time_like(text: str) -> bool:
    """Whether a text is a number that may be a year, a day or seconds."""
    return _NUMERIC_TIME.fullmatch(text.strip()) is not None


def is_serial_day_like(text: str) -> bool:
    """Whether a text is a number that may be a spreadsheet's serial day."""
    return _SERIAL_DAY.fullmatch(text.strip()) is not None


def is_number_like(text: str) -> bool:
    """Whether a text may be a number, however its digits are grouped."""
    text = text.strip()
    return _DIGITS.search(text) is not None and _NUMBER.fullmatch(text) is not None
