from collections.abc import Iterable
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.datasets.series_grid import Gridded, make_grids
from service.datasets.table import Table
from service.datasets.time_column import Times
from service.datasets.upload_limits import UploadLimits
from service.domain.calendar import future_timestamps
from service.errors import InvalidRequest

LIMITS = UploadLimits(max_points=100_000, max_series=100)
# Each with a day on which it can begin.
FREQS = {
    "15min": "2021-01-04", "h": "2021-01-04", "D": "2021-01-04", "2D": "2021-01-04", "B": "2021-01-04",
    "W-WED": "2021-01-06", "MS": "2021-01-14", "ME": "2021-01-31", "QE-DEC": "2021-03-31", "YS-JAN": "2021-01-05",
    "BMS": "2021-01-01", "LWOM-FRI": "2021-01-29", "C-1111110": "2021-01-04",
}  # fmt: skip


def grid(series: dict[str, list[tuple[str, float]]], limits: UploadLimits = LIMITS) -> Gridded:
    rows = [(name, stamp, value) for name, pairs in series.items() for stamp, value in pairs]
    return make_grids(table(rows), limits)


def table(rows: list[tuple[str, str, float]]) -> Table:
    ids = list(dict.fromkeys(name for name, _, _ in rows))
    return Table(
        ids,
        np.array([ids.index(name) for name, _, _ in rows], np.int32),
        Times(np.array([stamp for _, stamp, _ in rows], "datetime64[us]"), None),
        np.array([value for _, _, value in rows], np.float64),
    )


def with_offsets(stamps: Iterable[str], zone: str | None = None) -> Table:
    """One series of times such as 2024-01-01T00:00+01."""
    texts = list(stamps)
    wall = np.array([text[:-3] for text in texts], "datetime64[us]")
    times = Times(wall, np.array([int(text[-3:]) * 3600 for text in texts], np.int32), zone)
    return Table(["a"], np.zeros(len(texts), np.int32), times, np.arange(len(texts), dtype=np.float64))


def codes(gridded: Gridded) -> list[str]:
    return [finding.code for finding in gridded.findings]


@given(st.sampled_from(sorted(FREQS)), st.integers(20, 60), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_missing_rows_change_nothing_but_the_audit(freq: str, n: int, random: Random) -> None:
    # With gaps, a day that is closed is told from one that was missed only after some weeks.
    n = 60 if freq.startswith("C") else n
    stamps = future_timestamps(freq, FREQS[freq] + "T00:00:00", 0, n)
    inner = sorted(random.sample(range(1, n - 1), n // 5))
    weekdays = [np.datetime64(stamp, "D").item().weekday() for stamp in stamps]
    # Where a weekday is left out each time, it is closed.
    assume({weekdays[i] for i in range(n) if i not in inner} == set(weekdays))
    rows = [("a", stamp, float(i)) for i, stamp in enumerate(stamps) if i not in inner]
    random.shuffle(rows)
    gridded = make_grids(table(rows), LIMITS)
    [values] = gridded.panel.values
    assert gridded.panel.freq == freq
    assert np.flatnonzero(np.isnan(values)).tolist() == inner
    assert values[~np.isnan(values)].tolist() == [i for i in range(n) if i not in inner]
    assert gridded.n_absent == (len(inner),)
    # What comes next is where the series itself would have gone on.
    start = gridded.panel.starts[0]
    assert start is not None
    ahead = future_timestamps(freq, start, n, 2)
    assert [np.datetime64(one) for one in ahead] == [
        np.datetime64(one) for one in future_timestamps(freq, stamps[0], n, 2)
    ]


def test_of_equal_stamps_the_last_row_counts_also_after_sorting() -> None:
    gridded = grid({"a": [("2024-01-02", 1), ("2024-01-01", 2), ("2024-01-02", 3), ("2024-01-03", 4)]})
    assert gridded.panel.values[0].tolist() == [2, 3, 4]
    assert codes(gridded) == ["not_sorted", "duplicate_stamps"]


def test_rows_of_which_most_share_their_time_are_no_series() -> None:
    sales = [(f"2024-01-{1 + i // 3:02}", float(i)) for i in range(30)]
    with pytest.raises(InvalidRequest) as caught:
        grid({"a": [("2024-01-01", 7.0)], "b": sales})
    [flaw] = caught.value.flaws
    assert flaw.code == "duplicate_stamps"
    assert "Row 2 holds 0 and row 3 1, both for 2024-01-01" in flaw.message
    assert "id_column" in flaw.message
    # A file that was put together twice holds the same once more.
    same = [(f"2024-01-{1 + i // 3:02}", float(i // 3)) for i in range(30)]
    assert grid({"b": same}).panel.values[0].tolist() == list(range(10))


def test_short_series_take_the_frequency_of_the_others_where_they_fit_it() -> None:
    months = [(f"2024-{month:02}-01", 1.0) for month in range(1, 9)]
    gridded = grid({
        "long": months,
        "one": [("2024-03-01", 5)],
        "two": [("2024-03-01", 5), ("2024-06-01", 6)],
        "off": [("2024-03-15", 5)],
        "odd": [("2024-03-01", 5), ("2024-03-09", 6)],
    })  # fmt: skip
    assert gridded.panel.freq == "MS"
    assert gridded.panel.starts == ("2024-01-01", "2024-03-01", "2024-03-01", None, None)
    assert gridded.panel.values[2].tolist()[::3] == [5, 6]
    assert [(finding.code, finding.id) for finding in gridded.findings] == [("gaps", "two"), ("irregular", "odd")]


def test_series_of_another_frequency_are_told_and_have_no_start() -> None:
    days = [(f"2024-01-0{day}", 1.0) for day in range(1, 8)]
    weeks = [(f"2024-01-{day:02}", 1.0) for day in range(1, 30, 7)]
    gridded = grid({"a": days, "b": weeks, "c": days})
    assert gridded.panel.freq == "D"
    assert gridded.panel.starts == ("2024-01-01", None, "2024-01-01")
    assert codes(gridded) == ["mixed_frequency"]
    assert "1 of 'W-MON'" in gridded.findings[0].message


def test_a_series_that_changes_its_step_half_way_loses_no_row() -> None:
    first = [(f"2024-01-01T{hour:02}:00", float(hour)) for hour in range(20)]
    second = [(f"2024-01-02T{hour:02}:07", 20.0 + hour) for hour in range(20)]
    gridded = grid({"a": first + second})
    assert gridded.panel.values[0].tolist() == list(range(40))
    assert gridded.panel.starts == (None,)
    assert codes(gridded) == ["irregular"]


def test_a_late_stamp_is_put_on_its_place_and_told() -> None:
    hours = [(f"2024-01-01T{hour:02}:00", float(hour)) for hour in range(24)]
    hours[7] = ("2024-01-01T07:20", 7.0)
    gridded = grid({"a": hours})
    assert gridded.panel.values[0].tolist() == list(range(24))
    [finding] = gridded.findings
    assert finding.code == "late_stamp"
    assert "2024-01-01T07:20:00 counts as 2024-01-01T07:00:00" in finding.message


def test_a_series_whose_first_stamp_is_late_begins_where_it_should_have() -> None:
    hours = [(f"2024-01-01T{hour:02}:00", float(hour)) for hour in range(24)]
    gridded = grid({"a": [("2024-01-01T00:05", 0.0), *hours[1:]]})
    assert gridded.panel.values[0].tolist() == list(range(24))
    assert gridded.panel.starts == ("2024-01-01",)
    assert codes(gridded) == ["late_stamp"]


def test_a_stamp_without_a_place_is_left_out_and_told() -> None:
    hours = [(f"2024-01-01T{hour:02}:00", float(hour)) for hour in range(24)]
    gridded = grid({"a": [*hours, ("2024-01-01T07:30", 99.0)]})
    assert gridded.panel.values[0].tolist() == list(range(24))
    assert codes(gridded) == ["not_sorted", "off_grid"]
    assert "2024-01-01T07:30:00" in gridded.findings[1].message


def test_closed_days_are_no_gaps_and_get_no_forecast() -> None:
    days = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]")
    rows = [(str(day), 1.0) for day in days if day.item().weekday() != 6]
    gridded = grid({"a": rows, "few": rows[5:9]})
    assert gridded.panel.freq == "C-1111110"
    assert gridded.panel.starts == ("2024-01-01", "2024-01-06")
    assert not np.isnan(np.concatenate(gridded.panel.values)).any()
    assert codes(gridded) == ["closed_days"]
    assert "Sundays" in gridded.findings[0].message
    # The last row is a Thursday.
    ahead = future_timestamps("C-1111110", "2024-01-01", len(rows), 4)
    assert ahead == ["2024-03-01", "2024-03-02", "2024-03-04", "2024-03-05"]


def test_series_that_differ_in_their_weekday_alone_share_a_frequency() -> None:
    mondays = [(f"2024-01-{day:02}", 1.0) for day in range(1, 30, 7)]
    fridays = [(f"2024-01-{day:02}", 1.0) for day in range(5, 27, 7)]
    gridded = grid({"a": mondays, "b": fridays})
    assert gridded.panel.freq == "W"
    assert gridded.panel.starts == ("2024-01-01", "2024-01-05")
    assert gridded.findings == []


def test_a_series_on_the_thirtieth_that_begins_in_february_goes_on_with_it() -> None:
    stamps = ["2023-02-28", "2023-03-30", "2023-04-30", "2023-05-30", "2023-06-30", "2023-07-30"]
    gridded = grid({"a": [(stamp, 1.0) for stamp in stamps]})
    start, n = gridded.panel.starts[0], len(gridded.panel.values[0])
    assert future_timestamps(gridded.panel.freq or "", start or "", n, 1) == ["2023-08-30"]
    assert gridded.panel.values[0][-6:].tolist() == [1] * 6


def test_milliseconds_keep_their_fraction() -> None:
    rows = [(f"2024-01-01T00:00:00.{250 + 20 * i:03}", float(i)) for i in range(20)]
    gridded = grid({"a": rows})
    assert (gridded.panel.freq, gridded.panel.starts) == ("20ms", ("2024-01-01T00:00:00.250000",))


def test_gaps_count_against_the_limit_before_memory_is_spent() -> None:
    sparse = [("2024-01-05", 1.0), ("2024-01-06", 1.0), ("2024-01-07", 1.0), ("2026-01-05", 1.0)]
    series = {str(i): sparse for i in range(50)}
    assert grid(series).panel.n_points == 50 * 732
    with pytest.raises(InvalidRequest) as caught:
        grid(series, UploadLimits(max_points=10_000, max_series=100))
    assert caught.value.flaws[0].code == "too_many_points"


def test_days_over_a_clock_change_keep_their_wall_time() -> None:
    stamps = [f"2024-03-{day}T06:00+01" for day in (28, 29, 30)] + ["2024-03-31T06:00+02", "2024-04-01T06:00+02"]
    gridded = make_grids(with_offsets(stamps), LIMITS)
    assert (gridded.panel.freq, gridded.panel.n_points) == ("D", 5)
    assert gridded.panel.starts == ("2024-03-28T06:00:00",)
    assert codes(gridded) == ["mixed_offsets"]


def test_hours_over_a_clock_change_are_taken_in_utc() -> None:
    stamps = ["2024-03-31T00:00+01", "2024-03-31T01:00+01", "2024-03-31T03:00+02", "2024-03-31T04:00+02"]
    gridded = make_grids(with_offsets(stamps), LIMITS)
    assert (gridded.panel.freq, gridded.panel.n_points) == ("h", 4)
    assert gridded.panel.starts == ("2024-03-30T23:00:00Z",)
    assert codes(gridded) == ["mixed_offsets"]


@pytest.mark.parametrize(("offset", "start"), [("+00", "Z"), ("+02", "+02:00"), ("-05", "-05:00")])
def test_an_offset_that_stays_is_kept(offset: str, start: str) -> None:
    gridded = make_grids(with_offsets(f"2024-07-0{day}T06:00{offset}" for day in range(1, 6)), LIMITS)
    assert gridded.panel.starts == (f"2024-07-01T06:00:00{start}",)
    assert gridded.findings == []


def test_a_zone_by_name_is_kept() -> None:
    gridded = make_grids(with_offsets([f"2024-07-0{day}T06:00+02" for day in range(1, 6)], "Europe/Berlin"), LIMITS)
    assert gridded.panel.starts == ("2024-07-01T06:00:00+02:00[Europe/Berlin]",)
    assert future_timestamps("D", gridded.panel.starts[0] or "", 122, 1) == ["2024-10-31T06:00:00+01:00[Europe/Berlin]"]
