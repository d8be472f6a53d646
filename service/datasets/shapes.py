"""What a cell may be, by its shape alone: a time, a number, or the like of neither."""

import re
from collections.abc import Iterable

_CLOCK = r"(?:[T ]+\d{1,2}(?::?\d{2}(?::?\d{2}(?:[.,]\d+)?)?)?(?:\s?[AaPp]\.?[Mm]\.?)?)?"
_ZONE = r"(?:\s*(?:Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?))?(?:\[[\w/+-]+\])?"
_YEAR = r"(?:1[5-9]|2[01])\d{2}"
_MONTH = r"(?:0?[1-9]|1[0-2])"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
# Of months in English and German; other words beside digits are ids, as "Store 12" is.
_NAME = (
    r"(?i:jan(?:uary?)?|jän(?:ner)?|feb(?:ruary?)?|mar(?:ch)?|märz?|mrz|apr(?:il)?|may|mai|jun[ei]?|jul[yi]?|aug(?:ust)?|"
    r"sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)\.?"
)
_DATES = (
    rf"\d{{4}}-{_MONTH}(?:-{_DAY})?",
    r"\d{1,2}-\d{1,2}-\d{4}",
    r"\d{1,4}/\d{1,2}/\d{1,4}",
    r"\d{1,4}\.\d{1,2}\.\d{1,4}\.?",
    rf"{_YEAR}/\d{{1,2}}",
    rf"\d{{1,2}}/{_YEAR}",
    rf"{_YEAR}-(?:[0-2]\d{{2}}|3[0-6]\d)",
    r"\d{8}T\d{2,6}",
    rf"{_YEAR}[ -]?(?:[Qq][1-4]|[Ww]\d{{1,2}}(?:-[1-7])?)",
    rf"[Qq][1-4][ /-]?{_YEAR}",
    rf"{_YEAR}-?[Mm]\d{{1,2}}",
    rf"(?:\d{{1,2}}\.?[ -])?{_NAME}[ -](?:\d{{1,2}},? )?(?:{_YEAR}|\d{{2}})",
    rf"{_YEAR}[ -]{_NAME}(?:[ -]\d{{1,2}})?",
)
# In RE2's grammar as well as in Python's. What may as well be a number is not among them.
TIME = rf"^\s*(?:{'|'.join(_DATES)}){_CLOCK}{_ZONE}\s*$"
_TIME = re.compile(TIME)
# A year, a day as 20240131, seconds or milliseconds since 1970: times where a column's name says so.
_NUMERIC_TIME = re.compile(r"(?:1[6-9]|2[01])\d{2}(?:\d{2}(?:\d{2})?)?|\d{9,10}|\d{12,13}")
_DIGITS = re.compile(r"\d")
_NUMBER = re.compile(
    r"""[-+(\u2212]?\s*[$€£¥]?\s*[-+\u2212]?        # signs
    (?:\d+|\d{1,3}(?:[ '\u2019.,_\u00a0\u2009\u202f]\d{2,3})*)?(?:[.,]\d*)?(?:[eE][-+]?\d+)?
    \s*(?:%|[$€£¥]|[A-Z]{3})?\s*[-)\u2212]?""",
    re.VERBOSE,
)


def is_time_like(texts: Iterable[str]) -> bool:
    """Whether all of some different texts of a column, at least one, are times and nothing else."""
    texts = list(texts)
    return bool(texts) and all(_TIME.match(text) for text in texts)


def is_numeric_time_like(texts: Iterable[str]) -> bool:
    """Whether all of some texts are numbers that may be years, days or seconds."""
    texts = list(texts)
    return bool(texts) and all(_NUMERIC_TIME.fullmatch(text.strip()) for text in texts)


def is_number_like(texts: Iterable[str]) -> bool:
    """Whether all of some texts, at least one, may be numbers, however their digits are grouped."""
    texts = [text.strip() for text in texts]
    return bool(texts) and all(_DIGITS.search(text) and _NUMBER.fullmatch(text) for text in texts)
