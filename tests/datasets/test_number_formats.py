"""Decimal points and grouped digits: read right where anything decides, else refused or told."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.datasets.dataset import Finding
from service.datasets.number_cells import CellPlace
from service.datasets.number_formats import read_digits
from service.errors import Flaw, InvalidRequest

NAN = float("nan")


def read(
    texts: Sequence[str], delimiter: str | None = ",", decimal: str | None = None, thousands: str | None = None
) -> tuple[list[float], list[Finding]]:
    column = pa.chunked_array([pa.array(texts, pa.string())])
    values, findings = read_digits(
        column, lambda index: CellPlace("y", index + 1), delimiter=delimiter, decimal=decimal, thousands=thousands
    )
    return values.tolist(), findings


def flaw_of(texts: Sequence[str], delimiter: str | None = ",", decimal: str | None = None) -> Flaw:
    with pytest.raises(InvalidRequest) as caught:
        read(texts, delimiter, decimal)
    return caught.value.flaws[0]


@pytest.mark.parametrize(
    ("texts", "delimiter", "values"),
    [
        # A row that can only be read in one way decides for all.
        (["0.5", "1.025"], ";", [0.5, 1.025]),
        (["975.25", "1.025"], ";", [975.25, 1.025]),
        (["1.234.567", "1.025"], ",", [1234567, 1025]),
        (["1.234,5", "1.025", "975"], ",", [1234.5, 1025, 975]),
        (["1,234.5", "1,025", "975"], ";", [1234.5, 1025, 975]),
        (["1,5", "1.025"], ";", [1.5, 1025]),
        (["1.5", "1,025"], "\t", [1.5, 1025]),
        (["-1.234.567", "-1.025"], "\t", [-1234567, -1025]),
        (["12,34,567", "1,025"], ";", [1234567, 1025]),
        (["1.025e3", "1.025"], ";", [1025, 1.025]),
        # Whoever groups the digits of one number groups those of a longer one.
        (["1000", "1.025"], ";", [1000, 1.025]),
        (["10000", "12,345"], ",", [10000, 12.345]),
        # Spaces and apostrophes are never decimal points.
        (["975", "1 025", "1 234 567"], ",", [975, 1025, 1234567]),
        (["1\u00a0234,5", "1\u202f025", "1\u2009000"], ";", [1234.5, 1025, 1000]),
        (["1'025.5", "1\u2019234"], ",", [1025.5, 1234]),
        (["1 025", "1.025"], ";", [1025, 1.025]),
        (["1e3", "1E+03", "2.5e-3", ".5", "5.", "+7", "\u22125"], ",", [1000, 1000, 0.0025, 0.5, 5, 7, -5]),
        (["1,5e3"], ";", [1500]),
    ],
)
def test_other_rows_and_the_count_of_digits_decide_without_a_word(
    texts: list[str], delimiter: str, values: list[float]
) -> None:
    assert read(texts, delimiter) == (values, [])


@pytest.mark.parametrize(
    ("texts", "delimiter", "values", "other"),
    [
        (["975", "1.000", "1.025"], ";", [975, 1000, 1025], "1.000"),
        (["975", "1,000", "1,025"], ",", [975, 1000, 1025], "1.000"),
        (["-975", "-1,000"], ",", [-975, -1000], "-1.000"),
        (["12.345", "13.578", "9.871"], ",", [12.345, 13.578, 9.871], "12345"),
        (["12.345", "13.578"], "\t", [12.345, 13.578], "12345"),
        (["12.345", "1234"], ",", [12.345, 1234], "12345"),
        (["12.345", "-999"], ",", [12.345, -999], "12345"),
        (["12,345", "13,578"], ";", [12.345, 13.578], "12345"),
        (["12,345", "13,578"], ",", [12345, 13578], "12.345"),
    ],
)
def test_where_the_delimiter_alone_decides_both_readings_are_told(
    texts: list[str], delimiter: str, values: list[float], other: str
) -> None:
    got, [finding] = read(texts, delimiter)
    assert got == values
    assert finding.code == "digits_assumed"
    assert "Row" in finding.message
    assert f"could be {other}" in finding.message


@pytest.mark.parametrize(
    ("texts", "delimiter", "row", "readings"),
    [
        (["975", "1.000", "1.025"], ",", 2, ("1000", "1.000")),
        (["975", "1.000", "1.025"], "\t", 2, ("1000", "1.000")),
        (["975", "1.000", "1.025"], None, 2, ("1000", "1.000")),
        (["-1.025", "-975"], ",", 1, ("-1025", "-1.025")),
        (["975", "1,000", "1,025"], ";", 2, ("1000", "1.000")),
        (["975", "1,000", "1,025"], "|", 2, ("1000", "1.000")),
        (["12.345", "13.578"], ";", 1, ("12345", "12.345")),
        (["12,345", "13,578"], "\t", 1, ("12345", "12.345")),
        (["12.345", "1234"], ";", 1, ("12345", "12.345")),
    ],
)
def test_where_nothing_decides_the_row_and_both_readings_are_named(
    texts: list[str], delimiter: str, row: int, readings: tuple[str, str]
) -> None:
    flaw = flaw_of(texts, delimiter)
    assert (flaw.pointer, flaw.code) == (f"/y/{row - 1}", "not_a_number")
    assert f"Row {row} holds" in flaw.message
    assert "is it {} or {}?".format(*readings) in flaw.message
    assert "thousands" in flaw.message


@pytest.mark.parametrize(
    "texts",
    [["1.5", "1,5"], ["1.234.567", "1.5"], ["1.234.567", "1,234,567"], ["1.234", "1,234"], ["1.234,5", "1.5"]],
)
def test_rows_that_contradict_each_other_are_both_named(texts: list[str]) -> None:
    message = flaw_of(texts).message
    assert all(repr(text) in message for text in texts)
    assert "ow 1" in message
    assert "ow 2" in message


@pytest.mark.parametrize(
    ("texts", "decimal", "thousands", "values"),
    [
        (["975", "1.000"], ".", None, [975, 1]),
        (["975", "1.000"], None, ".", [975, 1000]),
        (["975", "1.000"], ",", None, [975, 1000]),
        (["1,025", "1.5"], None, ",", [1025, 1.5]),
        (["1,025"], ",", "", [1.025]),
        (["1'025,5"], ",", "'", [1025.5]),
    ],
)
def test_what_the_sender_says_decides(
    texts: list[str], decimal: str | None, thousands: str | None, values: list[float]
) -> None:
    assert read(texts, ",", decimal, thousands) == (values, [])


def test_a_row_against_what_the_sender_says_is_named() -> None:
    flaw = flaw_of(["1,5", "1.5"], decimal=",")
    assert flaw.pointer == "/y/1"
    assert "decimal '.'" in flaw.message


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["5%", "7.5%", ""], [5, 7.5, NAN]),
        (["$1,234.50", "$5", "-$6"], [1234.5, 5, -6]),
        (["1 234,50 \u20ac", "5 \u20ac"], [1234.5, 5]),
        (["EUR 5", "7"], [5, 7]),
        (["(5)", "(1,234.5)", "6"], [-5, -1234.5, 6]),
        (["5-", "6"], [-5, 6]),
        # A dash for no cents is no minus.
        (["5,-", "1.234,-", "7,50"], [5, 1234, 7.5]),
        (["5.-", "1'234.-", "7.50"], [5, 1234, 7.5]),
        (["5,\u2014 \u20ac", "-7,\u2013 \u20ac"], [5, -7]),
        (["\u20b912,34,567", "\u20b95"], [1234567, 5]),
        (["5,00 z\u0142", "1.234,50 z\u0142"], [5, 1234.5]),
        (["R$ 1.234,50", "R$ 5,00"], [1234.5, 5]),
        (["Rs. 1,234.00", "Rs. 5"], [1234, 5]),
    ],
)
def test_signs_around_digits_are_read_with_a_finding(texts: list[str], values: list[float]) -> None:
    got, findings = read(texts)
    np.testing.assert_array_equal(got, values)
    assert {finding.code for finding in findings} == {"digits_assumed"}
    assert "ow 1" in findings[0].message


@pytest.mark.parametrize("texts", [["5%", "7"], ["\u20ac5", "$5"], ["5,- \u20ac", "5,- $"]])
def test_two_units_in_one_column_are_refused(texts: list[str]) -> None:
    assert "unit" in flaw_of(texts).message


def test_missing_values_of_all_kinds_are_none() -> None:
    words = [
        "",
        "NA",
        "n/a",
        "NaN",
        " null ",
        "None",
        "-",
        "#N/A",
        "\\N",
        ".",
        "?",
        "--",
        "\u2014",
        "n.a.",
        "k.A.",
        "nil",
    ]
    got, findings = read([*words, "1"])
    np.testing.assert_array_equal(got, [NAN] * len(words) + [1])
    assert not findings


@pytest.mark.parametrize(
    "text", ["abc", "0x10", "1.2.3", "1,23.4", "12 34", "1e", "--5", "5 kg", "#DIV/0!", "1\u00a0x"]
)
def test_what_is_no_number_is_named_with_its_row_and_without_codes(text: str) -> None:
    flaw = flaw_of(["1", text])
    assert (flaw.pointer, flaw.code) == ("/y/1", "not_a_number")
    assert "Row 2 holds" in flaw.message
    assert "\\x" not in flaw.message


@pytest.mark.parametrize("text", ["inf", "-Infinity", "+INF"])
def test_infinity_is_out_of_range_and_named(text: str) -> None:
    flaw = flaw_of(["1", text])
    assert (flaw.pointer, flaw.code) == ("/y/1", "out_of_range")
    assert "finite" in flaw.message


STYLES = [(".", ","), (".", " "), (".", "'"), (",", "."), (",", "\u00a0"), (",", " "), (".", ""), (",", "")]


@settings(deadline=None)
@given(
    st.lists(st.decimals(-9_999_999, 9_999_999, places=2), min_size=1, max_size=20),
    st.sampled_from(STYLES),
    st.sampled_from([",", ";", "\t", None]),
)
def test_a_column_with_two_decimals_reads_alike_in_every_style(
    numbers: list[object], style: tuple[str, str], delimiter: str | None
) -> None:
    decimal, group = style
    texts = [f"{number:,.2f}".replace(",", "#").replace(".", decimal).replace("#", group) for number in numbers]
    values, findings = read(texts, delimiter)
    assert values == [float(f"{number:.2f}") for number in numbers]
    assert findings == []


@settings(deadline=None)
@given(
    st.lists(st.integers(-9_999_999, 9_999_999), min_size=1, max_size=20),
    st.sampled_from([",", ".", " ", "'", "\u202f"]),
    st.sampled_from([",", ";", "\t", None]),
)
def test_grouped_whole_numbers_are_never_read_wrong_without_a_word(
    numbers: list[int], group: str, delimiter: str | None
) -> None:
    texts = [f"{number:,}".replace(",", group) for number in numbers]
    try:
        values, findings = read(texts, delimiter)
    except InvalidRequest:
        return
    assert findings or values == [float(number) for number in numbers]
