import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.recipes.options import MAX_SEASON
from service.domain.recipes.season_defaults import (
    choose_horizon,
    choose_season,
    choose_seasons,
    choose_window,
    choose_window_of_two,
    usual_season,
)


@pytest.mark.parametrize(
    ("freq", "season"),
    [
        ("D", 7), ("B", 5), ("W-MON", 52), ("MS", 12), ("ME", 12), ("QE-DEC", 4), ("YS-JAN", 1), ("h", 24), ("2h", 12),
        ("30min", 48), ("15min", 96), ("5min", 288), ("min", 60), ("s", 1), ("3MS", 4), (None, 1), ("7D", 52),
        ("2W-FRI", 26), ("14D", 26), ("4W-MON", 13), ("C-1111110", 6), ("C-1111001", 5), ("C-1010100", 3), ("2B", 1),
        ("BMS", 12), ("BME", 12), ("LWOM-FRI", 12), ("WOM-3FRI", 12), ("12WOM-4THU", 1), ("BQE-DEC", 4), ("2MS", 6),
        ("6MS", 2), ("QS-FEB", 4), ("Y", 1), ("90min", 16), ("7h", 1), ("24h", 7), ("60min", 24),
        ("20ms", 1), ("us", 1),
        ("36h", 1), ("nonsense", 1), ("", 1), ("3600s", 24),
    ],
)  # fmt: skip
def test_a_frequency_has_a_usual_season(freq: str | None, season: int) -> None:
    assert usual_season(freq) == season
    assert usual_season(freq) <= MAX_SEASON


def test_a_season_that_most_series_hold_only_once_is_not_taken() -> None:
    assert choose_season("MS", [100, 120, 140]) == 12
    assert choose_season("MS", [20, 24, 140]) == 1


@given(
    st.sampled_from(("D", "MS", "QS", "h", "30min", "W", "YS", None)),
    st.lists(st.integers(10, 3000), min_size=1, max_size=20),
)
def test_window_and_horizon_fit_the_series(freq: str | None, lengths: list[int]) -> None:
    season = choose_season(freq, lengths)
    horizon = choose_horizon(season, lengths)
    window = choose_window(season, horizon, lengths)
    assert horizon >= 1
    assert window >= 1
    assert window + 2 * horizon <= max(np.quantile(lengths, 0.9), 1 + 2 * horizon)


def test_monthly_series_get_four_years_to_read_and_two_to_forecast() -> None:
    assert choose_horizon(12, [150] * 9) == 24
    assert choose_window(12, 24, [150] * 9) == 48
    assert choose_window(336, 336, [3696]) == 672


@pytest.mark.parametrize(
    ("freq", "season", "length", "seasons"),
    [
        ("h", 24, 700, (24, 168)), ("h", 24, 504, (24, 168)), ("h", 24, 503, ()), ("60min", 24, 700, (24, 168)),
        ("2h", 12, 400, (12, 84)), ("30min", 48, 1500, (48, 336)), ("15min", 96, 3000, (96, 672)),
        # A season that is named: the week by itself, whose day is known, or one that has nothing to do with the day.
        ("30min", 336, 3696, (48, 336)), ("h", 168, 700, (24, 168)), ("h", 12, 700, ()), ("h", 1, 700, ()),
        ("5min", 288, 9000, ()), ("min", 60, 9000, ()), ("D", 7, 1100, (7, 364)), ("D", 7, 400, ()), ("B", 5, 1100, ()),
        ("W", 52, 900, ()), ("MS", 12, 900, ()), ("QS", 4, 900, ()), ("YS", 1, 900, ()),
        (None, 24, 700, (24, 168)), (None, 48, 1500, (48, 336)), (None, 12, 900, ()), ("nonsense", 24, 700, ()),
    ],
)  # fmt: skip
def test_hours_have_a_day_and_a_week_where_series_hold_enough(
    freq: str | None, season: int, length: int, seasons: tuple[int, ...]
) -> None:
    assert choose_seasons(freq, season, 48, [length] * 5) == seasons


def test_who_names_the_week_and_asks_for_all_of_it_gets_the_week_alone() -> None:
    assert choose_seasons("30min", 336, 335, [3696]) == (48, 336)
    assert choose_seasons("30min", 336, 336, [3696]) == ()
    assert choose_seasons("30min", 48, 336, [3696]) == (48, 336)


@given(
    st.sampled_from((("h", 24), ("30min", 48), ("15min", 96), ("D", 7))),
    st.integers(1, 400),
    st.lists(st.integers(100, 5000), min_size=1, max_size=9),
)
def test_a_window_of_two_seasons_holds_both_and_leaves_two_horizons(
    usual: tuple[str, int], horizon: int, lengths: list[int]
) -> None:
    seasons = choose_seasons(usual[0], usual[1], horizon, lengths)
    if not seasons:
        return
    window, read = choose_window_of_two(seasons, horizon, lengths)
    assert sum(seasons) <= read <= window
    assert window + 2 * horizon <= np.quantile(lengths, 0.9)
