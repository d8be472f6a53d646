import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.waves import generate_waves, split_rows


def test_the_same_seed_gives_the_same_waves_and_another_seed_others() -> None:
    assert np.array_equal(generate_waves(5, 51, seed=1), generate_waves(5, 51, seed=1))
    assert not np.array_equal(generate_waves(5, 51, seed=1), generate_waves(5, 51, seed=2))


def test_without_noise_a_wave_is_two_sines_of_the_chapter() -> None:
    series = generate_waves(3, 60, noise=0.0, seed=7)
    frequency_1, frequency_2, offset_1, offset_2 = np.random.default_rng(7).random((4, 3))
    for row in range(3):
        for step in (0, 17, 59):
            time = step / 59
            expected = 0.5 * np.sin((time - offset_1[row]) * (frequency_1[row] * 10 + 10))
            expected += 0.2 * np.sin((time - offset_2[row]) * (frequency_2[row] * 20 + 20))
            assert series[row, step] == pytest.approx(expected, abs=1e-6)


def test_noise_has_the_variance_that_no_forecast_can_beat() -> None:
    noise = generate_waves(2000, 51, noise=0.1, seed=3) - generate_waves(2000, 51, noise=0.0, seed=3)
    assert np.var(noise) == pytest.approx(0.01 / 12, rel=0.02)
    assert np.abs(noise).max() <= 0.05 + 1e-6


def test_the_chapters_ten_thousand_series_split_as_the_chapter_does() -> None:
    assert split_rows(10_000) == (slice(0, 7000), slice(7000, 9000), slice(9000, 10_000))


@given(st.integers(3, 5000))
def test_every_split_part_has_a_series_and_none_has_two_parts(n_series: int) -> None:
    rows = [list(range(n_series))[part] for part in split_rows(n_series)]
    assert all(rows)
    assert [row for part in rows for row in part] == list(range(n_series))


def test_two_series_can_not_be_split() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        split_rows(2)
