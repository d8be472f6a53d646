"""What a cell may be by its shape."""

import pytest

from service.datasets.shapes import is_number_like, is_numeric_time_like, is_time_like


@pytest.mark.parametrize(
    "text",
    ["2024-01-31", "2024-1", "2024-01-31 06:00:00.123+01", "2024-01-31T06:00Z", "2024-01-31 06:00 UTC", "31.01.2024",
     "1/31/24", "2024/01/31 6:00 PM", "2024Q1", "2024-Q4", "Q1 2024", "2024-W05", "2024-W05-1", "Jan 2024", "31-Dec-24",
     "März 2024", "January 31, 2024", "2024 Oct", "2024M03", "2024-031", "20240131T06", " 2024-01-31 ",
     "2024-01-31T06:00+01:00[Europe/Berlin]"],
)  # fmt: skip
def test_times_of_all_forms_are_told(text: str) -> None:
    assert is_time_like([text])


@pytest.mark.parametrize(
    "text", ["Store 12", "Item-1234", "Mark 12", "1001-17", "A1", "1001-400", "shop", "", "Total 2024"]
)
def test_ids_are_no_times(text: str) -> None:
    assert not is_time_like([text])
    assert not is_number_like([text])


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "-1.5",
        "1,234.5",
        "1.234,5",
        "1 234",
        "1'234",
        "1e5",
        "(5)",
        "5-",
        "5 %",
        "$5",
        "-$5.50",
        "5 EUR",
        ".5",
        "5.",
    ],
)
def test_numbers_however_they_are_written_are_no_times(text: str) -> None:
    assert is_number_like([text])
    assert not is_time_like([text])


def test_years_and_seconds_may_be_both() -> None:
    for text in ("2024", "202401", "20240131", "1704067200", "1704067200000"):
        assert is_numeric_time_like([text])
        assert is_number_like([text])
    assert not is_numeric_time_like(["1200"])
    assert not is_time_like([])
