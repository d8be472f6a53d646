"""The one grammar of times, a text at a time and a column at a time."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.start_time import read_stamp
from service.domain.time_errors import BadTime
from service.domain.time_fields import NO_OFFSET
from service.domain.timestamps import ListTexts, Reading, is_time_like, is_written_time, read_texts
from service.errors import InvalidRequest

DAY = "2024-01-31T00:00:00"
# What people write, the wall time that it is, and seconds ahead of UTC.
FORMS: list[tuple[str, str, int | None]] = [
    *((text, DAY, None) for text in (
        "2024-01-31", " 2024-01-31 ", "2024/01/31", "2024.01.31", "2024-1-31", "20240131", "2024-031", "2024031",
        "2024-W05-3", "2024W053", "2024-01-31T00:00", "2024-01-31 00:00:00", "2024-01-31T00:00:00.000",
        "2024-01-30T24:00", "2024-01-30 24:00:00", "20240131T0000", "20240131T000000", "20240131000000",
        "31/01/2024", "01/31/2024",
        "31.01.2024", "31-01-2024", "31.1.2024", "31. 1. 2024", "31 Jan 2024", "31-JAN-2024", "31 January 2024",
        "Jan 31, 2024", "January 31st, 2024", "Jan 31 2024", "2024-Jan-31", "31Jan2024", "Wed, 31 Jan 2024",
        "Wednesday, January 31, 2024", "1/31/2024 12:00 AM", "1/31/2024, 12:00:00 AM", "31/01/2024 00:00",
        "2024-01-31\u00a000:00",
    )),
    *((text, "2024-01-31T18:30:15", None) for text in (
        "2024-01-31T18:30:15", "2024-01-31t18:30:15", "2024-01-31  18:30:15", "20240131T183015", "20240131183015",
        "2024-01-31 6:30:15 PM", "1/31/2024 6:30:15 pm", "31.01.2024 18:30:15", "31 Jan 2024 18:30:15",
        "2024-01-31 06:30:15 p.m.", "2024-W05-3T18:30:15", "2024-031T18:30:15",
    )),
    *((text, DAY, 0) for text in (
        "2024-01-31T00:00:00Z", "2024-01-31T00:00:00z", "2024-01-31 00:00:00 UTC", "2024-01-31 00:00:00 GMT",
        "2024-01-31T00:00:00+00:00", "2024-01-31T00:00Z", "20240131T000000Z", "2024-01-31Z", "20240131Z", "1706659200",
        "1706659200000", "1706659200000000", "1706659200000000000", "1706659200.0",
        "Wed, 31 Jan 2024 00:00:00 GMT", "2024-01-31 00:00:00 +0000 UTC", "2024-01-31T00:00:00-00:00",
    )),
    *((text, DAY, 3600) for text in (
        "2024-01-31 00:00:00+01", "2024-01-31T00:00:00+0100", "2024-01-31T00:00+01:00", "2024-01-31 00:00:00 +01:00",
        "2024-01-31T00:00:00+01:00[Europe/Berlin]", "2024-01-31T00:00[Europe/Berlin]", "2024-01-31[Europe/Berlin]",
        "2024-01-30T23:00Z[Europe/Berlin]", "2024-01-31+01:00", "Wed, 31 Jan 2024 00:00:00 +0100",
    )),
    ("2024-01-31T00:00:00.123456789", "2024-01-31T00:00:00.123456", None),
    ("2024-01-31T00:00:00,5", "2024-01-31T00:00:00.5", None),
    ("2024-01-31T00:00:00.5-05:30", "2024-01-31T00:00:00.5", -19800),
    ("2024-01-31T00:00:00\u22125:30".replace("\u22125", "\u221205"), DAY, -19800),
    ("1706659200.25", "2024-01-31T00:00:00.25", 0),
    ("1706659200123", "2024-01-31T00:00:00.123", 0),
    ("100000000", "1973-03-03T09:46:40", 0),
    *((text, "2024-02-01", None) for text in (
        "2024-02", "2024/02", "2024.02", "02/2024", "2-2024", "202402", "2024M02", "Feb 2024", "February 2024",
        "Feb-2024", "2024 Feb", "2024-Feb", "Feb-24", "Feb'24", "Feb. 2024",
    )),
    *((text, "2020-04-01", None) for text in (
        "2020Q2", "2020-Q2", "2020 Q2", "2020/Q2", "Q2 2020", "Q2-2020", "Q2/2020", "2Q2020", "2Q 2020", "2020q2",
    )),
    ("2024", "2024-01-01", None), ("2024-W05", "2024-01-29", None), ("2024W05", "2024-01-29", None),
    ("2020-W53", "2020-12-28", None), ("2024-366", "2024-12-31", None), ("0001-01-01", "0001-01-01", None),
    ("9999-12-31", "9999-12-31", None), ("31-Dec-99", "1999-12-31", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wall", "offset"), FORMS, ids=[repr(text) for text, _, _ in FORMS])
def test_every_form_that_people_write_is_read(text: str, wall: str, offset: int | None) -> None:
    stamp = read_stamp(text)
    assert (stamp.wall, stamp.offset) == (np.datetime64(wall, "us"), offset)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "yesterday", "2024-13-01", "2024-02-30", "2023-02-29", "2024-01-31T25:00", "2024-01-31T24:01",
        "2024-01-31T23:60", "2024-01-31T23:59:60", "2024-01-31 13:00 PM", "2024-01-31 0:30 AM",
        "2024-01-31T00:00+24:00", "0000-12-31T24:00", "2024-01-31 00:00" + 1000 * " " + "x", "1200", "22010101",
        "0000-1", "0000-01-01", "0000", "0000-01", "0000-W01", "0000-001", "0000Q1", "00000101", "01/01/0000",
        "1 Jan 0000", "10000-01-01",
        "99999-01-01", "-0001-01-01", "+2024-01-01", "2023-W53", "2024-W00", "2023-366", "2024-000",
        "2024Q5", "32/01/2024", "31/02/2024", "13/13/2024", "31 Foo 2024", "31 Feb 2024", "20-Jan", "Jan 20",
        "17", "1.5", "123", "-45321", "045321", "12345678901", "20241301", "20240230", "202413", "99999999999999999999",
        "1e9", "NaT", "2024-01-31T00:00 CET", "2024-01-31 600", "2024-01-01T00:00[Mars/Base]", "[UTC]", "\x00",
        "2024-01-31x",
        "0001-01-01T00:00+01:00", "9999-12-31T23:30-01:00", "\u0662\u0660\u0662\u0664-01-01", "06:00", "2024-01-31-05",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_stamp(text)
    [flaw] = caught.value.flaws
    assert (flaw.pointer, flaw.code) == ("/start", "bad_timestamp")


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("05/03/2024", ("2024-03-05", "2024-05-03")),
        ("05-03-2024", ("2024-03-05", "2024-05-03")),
        ("05.03.2024", ("2024-03-05",)),
        ("31/01/24", ("2024-01-31", "2031-01-24")),
        ("1/2/03 06:00", ("2003-02-01", "2003-01-02", "2001-02-03")),
        ("45321", ("2024-01-30",)),
        ("202401310600", ("YYYYMMDDHHMM", "1976-05-31T14:35:10")),
    ],
)
def test_one_time_that_can_be_read_in_two_ways_is_asked_for(text: str, readings: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_stamp(text)
    [flaw] = caught.value.flaws
    assert flaw.code == "ambiguous_timestamp"
    assert all(reading in flaw.message for reading in readings)


def days(reading: Reading) -> list[str]:
    return [str(day) for day in reading.wall.astype("datetime64[us]").astype("datetime64[D]")]


def read(*texts: str) -> Reading:
    return read_texts(ListTexts(texts))


@pytest.mark.parametrize(
    ("texts", "expected", "row"),
    [
        (("05/03/2024", "13/03/2024"), ["2024-03-05", "2024-03-13"], 1),
        (("05/03/2024", "05/13/2024"), ["2024-05-03", "2024-05-13"], 1),
        (("05-03-2024", "13/03/2024"), ["2024-03-05", "2024-03-13"], 1),
        (("05.03.2024", "06.03.2024"), ["2024-03-05", "2024-03-06"], 0),
        (("05.03.2024", "03.13.2024"), ["2024-05-03", "2024-03-13"], 1),
        (("12/30/23", "1/2/24", "1/31/24"), ["2023-12-30", "2024-01-02", "2024-01-31"], 0),
        (("30/12/98", "02/01/99"), ["1998-12-30", "1999-01-02"], 0),
        (
            tuple(f"{day}.01.24" for day in range(22, 32)),
            [f"2024-01-{day}" for day in range(22, 32)],
            0,
        ),
    ],
)
def test_one_date_decides_the_order_of_all_and_it_is_told(
    texts: tuple[str, ...], expected: list[str], row: int
) -> None:
    reading = read(*texts)
    assert days(reading) == expected
    assert {one.code for one in reading.assumed} == {"times_assumed"}
    assert row in [one.index for one in reading.assumed]


def test_dates_that_are_certain_by_themselves_need_no_word() -> None:
    assert read("31/01/2024", "30/01/2024", "07/07/2024").assumed == []
    assert read("2024-01-31", "20240201", "2 Feb 2024", "2024-02-03T00:00").assumed == []


@pytest.mark.parametrize(
    ("texts", "code", "index"),
    [
        (("01/02/2024", "02/02/2024", "03/02/2024"), "ambiguous_timestamp", 0),
        (("02/02/2024", "01/02/2020", "01/03/2020"), "ambiguous_timestamp", 1),
        (("31/01/2024", "01/31/2024"), "mixed_timestamps", 1),
        (("13/01/2024", "12/01/2024", "01/14/2024"), "mixed_timestamps", 2),
        (("45321", "2024-01-31"), "mixed_timestamps", 0),
        (("45321", "1706659200"), "mixed_timestamps", 1),
        (("1706659200", "1706659200000"), "mixed_timestamps", 1),
        (("20240131", "2024"), "mixed_timestamps", 1),
        (("Jan-20", "Jan-21", "Jan-22"), "ambiguous_timestamp", 0),
        (("2024-01-31", "31/13/2024"), "bad_timestamp", 1),
        (("20240131", "20240132"), "bad_timestamp", 1),
    ],
)
def test_columns_that_nothing_decides_or_that_contradict_themselves_are_refused(
    texts: tuple[str, ...], code: str, index: int
) -> None:
    with pytest.raises(BadTime) as caught:
        read(*texts)
    assert (caught.value.code, caught.value.index) == (code, index)


def test_serial_days_of_a_spreadsheet_are_read_with_a_word() -> None:
    reading = read("45321", "45322", "45323,25", "45323.5")
    assert reading.wall.astype("datetime64[us]").astype("datetime64[m]").astype(str).tolist() == [
        "2024-01-30T00:00", "2024-01-31T00:00", "2024-02-01T06:00", "2024-02-01T12:00",
    ]  # fmt: skip
    [assumed] = reading.assumed
    assert (assumed.code, assumed.index) == ("times_assumed", 0)
    assert "2024-01-30" in assumed.message


def test_compact_minutes_of_a_column_are_read_with_a_word() -> None:
    reading = read("202401310600", "202401310615")
    assert reading.wall.astype("datetime64[us]").astype("datetime64[m]").astype(str).tolist() == [
        "2024-01-31T06:00", "2024-01-31T06:15",
    ]  # fmt: skip
    assert [one.code for one in reading.assumed] == ["times_assumed"]
    # With one that is no such time they are all milliseconds.
    assert read("202401310600", "202401319900").offset.tolist() == [0, 0]


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-86_399, 86_399))
def test_whatever_python_writes_in_iso_8601_is_read_as_written(moment: datetime, offset: int) -> None:
    zone = f"{'-' if offset < 0 else '+'}{timedelta(seconds=abs(offset))}"
    zone = zone if len(zone) == 9 else f"{zone[0]}0{zone[1:]}"
    stamp = read_stamp(moment.isoformat() + zone)
    assert stamp.wall.item() == moment
    assert stamp.offset == offset
    assert read_stamp(moment.isoformat()).wall.item() == moment


@given(st.dates())
def test_every_day_has_one_number_in_all_calendars_of_iso_8601(day: datetime) -> None:
    year, week, weekday = day.isocalendar()
    texts = [f"{day:%Y}-{day:%j}".zfill(8), day.isoformat()]
    texts += [f"{year:04}-W{week:02}-{weekday}"] if 1 <= year <= 9999 else []
    for text in texts:
        assert read_stamp(text).wall.astype("datetime64[D]").item() == day


@given(st.lists(st.dates(datetime(1970, 1, 1).date(), datetime(2067, 12, 31).date()), min_size=1, max_size=60))
def test_a_column_of_day_first_dates_is_never_read_as_another_one(dates: list[datetime]) -> None:
    for form in ("%d/%m/%Y", "%d.%m.%Y", "%d/%m/%y", "%d-%m-%Y", "%d.%m.%y"):
        try:
            reading = read(*(day.strftime(form) for day in dates))
        except BadTime:
            continue
        # Of years of two digits the reading is told; which part is the year may be told wrongly.
        assert days(reading) == [day.isoformat() for day in dates] or (reading.assumed and "y" in form)


def test_times_without_a_zone_have_no_offset() -> None:
    assert read("2024-01-31", "2024-02-01 00:00").offset.tolist() == [NO_OFFSET, NO_OFFSET]


@pytest.mark.parametrize(
    "text",
    ["2024-01-31", "2024-01-31 06:00:00.123+01", "2024-01-31T06:00Z", "2024-01-31 06:00 UTC", "31.01.2024", "1/31/24",
     "01/02/2024", "2024/01/31 6:00 PM", "2024Q1", "2024-Q4", "Q1 2024", "2024-W05", "2024-W05-1", "Jan 2024", "Jan-20",
     "31-Dec-24", "January 31, 2024", "2024 Oct", "2024M03", "2024-031", "20240131T06", " 2024-01-31 ",
     "2024-01-31T06:00+01:00[Europe/Berlin]"],
)  # fmt: skip
def test_times_of_all_forms_are_told(text: str) -> None:
    assert is_time_like(text)
    assert is_written_time(text)


@pytest.mark.parametrize("text", ["1", "12.5", "2024", "20240131", "1704067200", "45321", "2024.02", "5."])
def test_plain_numbers_are_no_times_by_themselves(text: str) -> None:
    assert not is_time_like(text)


@pytest.mark.parametrize(
    "text", ["Store 12", "Item-1234", "Mark 12", "1001-17", "1001-12", "A1", "1001-400", "shop", "", "Total 2024",
             "2024-13-45", "9999-01-01", "12 Mar"],
)  # fmt: skip
def test_ids_are_no_times(text: str) -> None:
    assert not is_time_like(text)


@pytest.mark.parametrize("form", ["{}-{:02}", "{}/{:02}"])
def test_seasons_of_two_years_are_not_taken_for_months(form: str) -> None:
    with pytest.raises(BadTime) as caught:
        read(*(form.format(year, (year + 1) % 100) for year in range(2001, 2011)))
    assert caught.value.code == "ambiguous_timestamp"
    assert days(read("2001-02", "2001-03")) == ["2001-02-01", "2001-03-01"]
    assert days(read("2001-02")) == ["2001-02-01"]


def test_ten_digits_are_hours_where_they_can_be_and_seconds_of_our_days_else() -> None:
    reading = read("2024013122", "2024013123", "2024020100")
    assert reading.wall.tolist() == [np.datetime64(text, "us").astype(np.int64) for text in
                                     ("2024-01-31T22", "2024-01-31T23", "2024-02-01T00")]  # fmt: skip
    assert "not as epoch seconds (2034-02-20" in reading.assumed[0].message
    assert days(read("1704067200", "1704070800")) == ["2024-01-01", "2024-01-01"]
    for texts in (["2401010000", "2401010015"], ["1912312345", "2001010000"], ["240101000000", "240101000015"]):
        with pytest.raises(BadTime) as caught:
            read(*texts)
        assert caught.value.code == "ambiguous_timestamp"
        assert "YYMMDDHHMM" in caught.value.problem
    with pytest.raises(InvalidRequest, match="YYYYMMDDHH"):
        read_stamp("2024013122")
