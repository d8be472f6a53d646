"""What a cell may be by its shape."""

import pytest

from service.datasets.cell_patterns import is_number_like, is_numeric_time_like, is_serial_day_like


@pytest.mark.parametrize(
    "text",
    ["1", "-1.5", "1,234.5", "1.234,5", "1 234", "1'234", "12,34,567", "1e5",
     "(5)", "5-", "5 %", "$5", "-$5.50", "5 EUR",
     "₹12,34,567", "5,00 zł", "R$ 1.234,50", "Rs. 5", "5 kr.", "5,-", "5.\u2013", "CHF 1'234.50", ".5", "5."],
)  # fmt: skip
def test_numbers_are_told_however_they_are_written(text: str) -> None:
    assert is_number_like(text)


@pytest.mark.parametrize("text", ["Store 12", "A1", "1001-17", "12ab", "1/2", "", "-", "2024-01-31", "5 kg"])
def test_ids_and_quantities_are_no_numbers(text: str) -> None:
    assert not is_number_like(text)


def test_years_days_and_seconds_may_be_both() -> None:
    for text in ("2024", "202401", "20240131", "1704067200", "1704067200000"):
        assert is_numeric_time_like(text)
        assert is_number_like(text)
    assert not is_numeric_time_like("1200")
    assert is_serial_day_like("45292")
    assert is_serial_day_like(" 45292.25 ")
    assert not any(map(is_serial_day_like, ("1999", "12345", "123456")))
