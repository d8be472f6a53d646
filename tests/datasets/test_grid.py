from collections.abc import Iterable
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.datasets.grid import Gridded, make_grids
from service.datasets.limits import Limits
from service.datasets.table import Table
from service.datasets.times import Times
from service.domain.calendar import future_timestamps
from service.errors import InvalidRequest

LIMITS = Limits(max_points=100_000, max_series=100)
FREQS = ("15min", "h", "D", "2D", "B", "W-WED", "MS", "ME", "QE-DEC", "YS-JAN")


def grid(series: dict[str, list[tuple[str, float]]], limits: Limits = LIMITS) -> Gridded:
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


@given(st.sampled_from(FREQS), st.integers(20, 60), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_missing_rows_change_nothing_but_the_audit(freq: str, n: int, random: Random) -> None:
    stamps = future_timestamps(freq, "2021-01-04T00:00:00", 0, n)
    inner = sorted(random.sample(range(1, n - 1), n // 5))
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


def test_a_single_stray_is_left_out_and_told() -> None:
    hours = [(f"2024-01-01T{hour:02}:00", float(hour)) for hour in range(24)]
    hours[7] = ("2024-01-01T07:20", 7.0)
    gridded = grid({"a": hours})
    assert np.flatnonzero(np.isnan(gridded.panel.values[0])).tolist() == [7]
    assert codes(gridded) == ["off_grid", "gaps"]


def test_gaps_count_against_the_limit_before_memory_is_spent() -> None:
    sparse = [("2024-01-05", 1.0), ("2024-01-06", 1.0), ("2024-01-07", 1.0), ("2026-01-05", 1.0)]
    series = {str(i): sparse for i in range(50)}
    assert grid(series).panel.n_points == 50 * 732
    with pytest.raises(InvalidRequest) as caught:
        grid(series, Limits(max_points=10_000, max_series=100))
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
