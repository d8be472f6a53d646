"""Cron expressions: when they are due, over changes of the clock, and which are refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidRequest
from service.jobs.cron import MACROS, Cron


def due(expression: str, timezone: str, moment: str, count: int) -> list[str]:
    cron, at, found = Cron(expression, timezone), datetime.fromisoformat(moment), []
    for _ in range(count):
        at = cron.after(at)
        found.append(at.isoformat())
    return found


def test_an_expression_is_due_by_the_clock_of_its_zone() -> None:
    assert due("0 3 * * 1", "Europe/Berlin", "2026-01-01T00:00+00:00", 1) == ["2026-01-05T02:00:00+00:00"]
    assert due("0 3 * * 1", "Europe/Berlin", "2026-07-01T00:00+00:00", 1) == ["2026-07-06T01:00:00+00:00"]
    assert due("0 0 29 2 *", "UTC", "2026-01-01T00:00+00:00", 1) == ["2028-02-29T00:00:00+00:00"]


def test_a_time_that_the_clock_skips_is_due_when_it_has_been_skipped() -> None:
    # On 2026-03-29, two o'clock in Berlin is three o'clock, which is one in UTC.
    assert due("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00+00:00", 2) == [
        "2026-03-29T01:00:00+00:00",
        "2026-03-30T00:30:00+00:00",
    ]


def test_a_time_that_comes_twice_is_due_once_and_every_hour_is_every_hour() -> None:
    # On 2026-10-25, three o'clock in Berlin is two o'clock again.
    assert due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00+00:00", 2) == [
        "2026-10-25T00:30:00+00:00",
        "2026-10-26T01:30:00+00:00",
    ]
    assert due("0 * * * *", "Europe/Berlin", "2026-10-24T23:30+00:00", 3) == [
        "2026-10-25T00:00:00+00:00",
        "2026-10-25T01:00:00+00:00",
        "2026-10-25T02:00:00+00:00",
    ]


@pytest.mark.parametrize("macro", MACROS)
def test_macros_are_their_expressions(macro: str) -> None:
    moment = "2026-05-05T05:05+00:00"
    assert due(macro, "Asia/Kolkata", moment, 3) == due(MACROS[macro], "Asia/Kolkata", moment, 3)


@given(
    st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 0 31 * *", "15 */3 * * 1-5", "0 0 l * *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)),
)
def test_the_next_time_is_always_later_and_none_lies_between(expression: str, timezone: str, naive: datetime) -> None:
    cron, moment = Cron(expression, timezone), naive.replace(tzinfo=UTC)
    first = cron.after(moment)
    assert first > moment
    assert cron.after(first) > first
    between = first - timedelta(seconds=1)
    assert between <= moment or cron.after(between) == first


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "x",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "0 0 30 2 *",
        "0 0 * 13 *",
        "@reboot",
        "0 0 * * mon-",
        "\x00 * * * *",
    ],
)
def test_what_is_no_expression_is_refused_with_an_example(expression: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Cron(expression)
    flaw = caught.value.flaws[0]
    assert (flaw.pointer, flaw.code) == ("/cron", "bad_cron")


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "Europe", "UTC\x00", "x" * 300])
def test_unknown_time_zones_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Cron("@daily", name)
    assert (caught.value.flaws[0].pointer, caught.value.flaws[0].code) == ("/timezone", "unknown_timezone")
