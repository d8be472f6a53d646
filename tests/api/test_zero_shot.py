"""Forecasts without training, over HTTP: nothing but a series is needed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cli.first_run import load_air_passengers
from service.domain.seasons import Seasons
from service.networks.experts import EXPERTS
from service.serving.zero_shot import ZeroShotCall
from service.store.pretrained import publish_pretrained
from tests.api.server import assert_problem, client

HISTORY, ACTUAL = load_air_passengers()
AIR_PASSENGERS = HISTORY.tolist()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models_store")
    publish_pretrained(root)
    return root


@pytest.fixture(scope="module")
def http(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with client(store, tmp_path_factory.mktemp("state"), max_body_bytes=2**24) as http:
        yield http


def forecast(http: httpx.Client, **body: Any) -> dict[str, Any]:
    response = http.post("/forecast", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_series_alone_gets_a_forecast_of_one_season(http: httpx.Client) -> None:
    answer = forecast(http, series=AIR_PASSENGERS)
    assert (answer["model"], answer["version"], answer["mode"]) == ("zero-shot", 1, "vector")
    assert (answer["horizon"], answer["rolled_out"]) == (12, False)
    [record] = answer["forecasts"]
    assert record.keys() == {"id", "values", "season"}
    assert record["season"] == 12
    assert np.abs(np.array(record["values"]) - ACTUAL).mean() <= 20


def test_without_a_season_ten_steps_are_forecast(http: httpx.Client) -> None:
    answer = forecast(http, series=np.random.default_rng(0).normal(size=50).cumsum().tolist())
    assert answer["horizon"] == 10
    assert answer["forecasts"][0]["season"] == 1


def test_a_frequency_or_a_season_that_is_named_is_taken(http: httpx.Client) -> None:
    by_freq = forecast(http, series=AIR_PASSENGERS, freq="MS", start="1949-01-01")
    assert (by_freq["horizon"], by_freq["forecasts"][0]["season"]) == (12, 12)
    assert by_freq["forecasts"][0]["timestamps"][0] == "1960-01-01"
    by_season = forecast(http, series=AIR_PASSENGERS, season=4)
    assert (by_season["horizon"], by_season["forecasts"][0]["season"]) == (4, 4)
    assert forecast(http, series=AIR_PASSENGERS, season=1)["horizon"] == 10


@pytest.mark.parametrize("horizon", [1, 7, 100, 1000])
def test_any_horizon_is_forecast_at_once(http: httpx.Client, horizon: int) -> None:
    answer = forecast(http, series=AIR_PASSENGERS, horizon=horizon, level=[80])
    assert answer["horizon"] == horizon
    assert answer["rolled_out"] is False
    assert len(answer["forecasts"][0]["values"]) == horizon
    assert len(answer["forecasts"][0]["intervals"]["80"]["upper"]) == horizon


def test_intervals_and_quantiles_never_cross(http: httpx.Client) -> None:
    quantiles = [0.025, 0.1, 0.3, 0.5, 0.7, 0.9, 0.975]
    [record] = forecast(http, series=AIR_PASSENGERS, level=[50, 80, 95], quantiles=quantiles)["forecasts"]
    ladder = np.array([record["quantiles"][str(quantile)] for quantile in quantiles])
    assert (np.diff(ladder, axis=0) >= 0).all()
    np.testing.assert_allclose(ladder[3], record["values"])
    np.testing.assert_allclose(ladder[1], record["intervals"]["80"]["lower"])
    np.testing.assert_allclose(ladder[-1], record["intervals"]["95"]["upper"])
    widths = [
        np.subtract(record["intervals"][level]["upper"], record["intervals"][level]["lower"])
        for level in ("50", "80", "95")
    ]
    assert (widths[0] < widths[1]).all()
    assert (widths[1] < widths[2]).all()


def test_explain_says_what_the_forecast_was_made_of(http: httpx.Client) -> None:
    [record] = forecast(http, series=AIR_PASSENGERS, explain=True)["forecasts"]
    experts = record["experts"]
    assert {expert["name"] for expert in experts} <= set(EXPERTS)
    weights = [expert["weight"] for expert in experts]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(1, abs=1e-4)
    naive = next(expert for expert in experts if expert["name"] == "seasonal_naive")
    assert naive["error"] > experts[0]["error"] > 0


def test_series_that_were_never_negative_stay_so_unless_asked_otherwise(http: httpx.Client) -> None:
    falling = [50.0 - 2 * i for i in range(25)]

    def values(**options: Any) -> list[float]:
        [record] = forecast(http, series=falling, horizon=12, level=[95], **options)["forecasts"]
        return [*record["values"], *record["intervals"]["95"]["lower"]]

    assert min(values()) >= 0
    assert min(values(non_negative=False)) < 0
    [record] = forecast(http, series=[-1, -2, -3, -4, -5], non_negative=True)["forecasts"]
    assert min(record["values"]) == 0


def test_many_series_with_different_seasons_keep_their_order(http: httpx.Client) -> None:
    rng = np.random.default_rng(1)
    series = {
        f"s{i}": (np.tile(rng.normal(size=season) * 5, 10) + 0.1 * rng.normal(size=10 * season)).tolist()
        for i, season in enumerate([7, 12, 7, 4, 12, 1] * 5)
    }
    together = forecast(http, series=series, horizon=6)["forecasts"]
    assert [record["id"] for record in together] == list(series)
    for record in together[:6]:
        [alone] = forecast(http, series={record["id"]: series[record["id"]]}, horizon=6)["forecasts"]
        np.testing.assert_allclose(alone["values"], record["values"], rtol=1e-3, atol=1e-3)
        assert alone["season"] == record["season"]


def test_thousands_of_series_are_forecast_like_each_alone(http: httpx.Client) -> None:
    rows = [(100 + np.random.default_rng(i).normal(size=60).cumsum()).tolist() for i in range(20)]
    answer = forecast(http, series=rows * 100, freq="MS")
    assert (answer["horizon"], len(answer["forecasts"])) == (12, 2000)
    [alone] = forecast(http, series=[rows[3]], freq="MS")["forecasts"]
    np.testing.assert_allclose(answer["forecasts"][1903]["values"], alone["values"], rtol=1e-4)
    assert answer["forecasts"][1903]["season"] == 12


def test_a_bad_series_leaves_its_neighbours_alone(http: httpx.Client) -> None:
    answer = forecast(http, series=[[1, 2, 3, 4], [], [5, 6, 7, 8]])
    assert ["error" in record for record in answer["forecasts"]] == [False, True, False]


@pytest.mark.parametrize(
    "series",
    [[5], [0, 0, 0, 0], [1e-30, 2e-30, 3e-30], [1e30, 2e30, 1e30, 4e30], [1, None, 3, None, 5, None], [-3], [7] * 100],
)
def test_series_that_hardly_are_one_get_finite_numbers(http: httpx.Client, series: list[float | None]) -> None:
    [record] = forecast(http, series=series, level=[80, 95])["forecasts"]
    numbers = [
        *record["values"],
        *(bound for one in record["intervals"].values() for half in one.values() for bound in half),
    ]
    assert np.isfinite(np.array(numbers, float)).all()
    size = max(abs(value) for value in series if value is not None)
    assert max(map(abs, record["values"])) <= 20 * size


@settings(max_examples=40)
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e35, 1e35), st.integers(-1000, 1000)), min_size=1, max_size=60),
    st.sampled_from([{}, {"freq": "D"}, {"season": 5}, {"freq": "h", "horizon": 30}, {"level": [99]}]),
)
def test_any_series_has_an_answer_or_an_error_of_the_contract(
    http: httpx.Client, series: list[float | None], options: dict[str, Any]
) -> None:
    response = http.post("/forecast", json={"series": series, **options})
    assert response.status_code in (200, 422), response.text
    if response.status_code == 200:
        for record in response.json()["forecasts"]:
            assert np.isfinite(np.array(record["values"], float)).all()


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"season": 0}, "out_of_bounds", "/season"),
        ({"season": 337}, "out_of_bounds", "/season"),
        ({"quantiles": [0]}, "out_of_bounds", "/quantiles/0"),
        ({"quantiles": [10]}, "out_of_bounds", "/quantiles/0"),
        ({"explain": "yes"}, "wrong_type", "/explain"),
        ({"level": [0.8]}, "level_is_fraction", "/level/0"),
        ({"level": [99.99]}, "level_not_calibrated", "/level"),
        ({"mode": "one_step"}, "mode_not_available", "/mode"),
        ({"horizon": 1001}, "horizon_out_of_bounds", "/horizon"),
        ({"freq": "fortnightly"}, "unknown_frequency", "/freq"),
        ({"freq": "monthly", "horizon": 3}, "unknown_frequency", "/freq"),
        ({"quantiles": [0.5, 0.9999]}, "level_not_calibrated", "/quantiles/1"),
    ],
)
def test_what_is_wrong_is_said(http: httpx.Client, body: dict[str, Any], code: str, pointer: str) -> None:
    assert_problem(http.post("/forecast", json={"series": [1, 2, 3], **body}), 422, code, pointer)


def test_a_backtest_scores_it_beside_the_baselines(http: httpx.Client) -> None:
    body = {"series": AIR_PASSENGERS, "horizon": 12, "windows": 3, "step": 6, "season": 12, "level": [80]}
    answer = http.post("/backtest", json=body).json()
    scores = answer["overall"]
    assert scores["model"]["mae"] < 0.95 * scores["seasonal_naive"]["mae"]
    assert 50 <= scores["model"]["coverage"]["80"] <= 100


def test_an_upload_is_forecast_by_its_own_frequency(http: httpx.Client) -> None:
    rows = "".join(f"{1949 + i // 12}-{i % 12 + 1:02d}-01,{value}\n" for i, value in enumerate(AIR_PASSENGERS))
    upload = http.post("/datasets", content=f"ds,y\n{rows}", headers={"Content-Type": "text/csv"}).json()
    answer = forecast(http, dataset=upload["id"])
    assert (answer["horizon"], answer["forecasts"][0]["season"]) == (12, 12)
    assert answer["forecasts"][0]["timestamps"][0] == "1960-01-01"


def test_tensorflow_gives_the_same_numbers(store: Path, http: httpx.Client, tmp_path: Path) -> None:
    body = {"series": [AIR_PASSENGERS, AIR_PASSENGERS[:7]], "level": [80]}
    with client(store, tmp_path, engine="savedmodel") as other:
        for one, another in zip(forecast(http, **body)["forecasts"], forecast(other, **body)["forecasts"], strict=True):
            np.testing.assert_allclose(one["values"], another["values"], rtol=1e-3)
            np.testing.assert_allclose(one["intervals"]["80"]["upper"], another["intervals"]["80"]["upper"], rtol=1e-3)


def test_a_far_horizon_of_many_series_is_computed_in_small_calls() -> None:
    rows = [np.zeros(96)] * 1000
    order = list(range(1000))

    def most_rows(horizon: int) -> int:
        return ZeroShotCall(Any, "rollout", horizon, Seasons(12)).fit(rows, order, 0, 0)[0]  # type: ignore[arg-type]

    assert most_rows(12) == 128
    # Of one row's experts, examples and steps there are 240,000 numbers.
    assert 4 <= most_rows(1000) <= 32


def test_quantiles_of_a_computed_grid_are_answered(http: httpx.Client) -> None:
    grid = np.linspace(0.05, 0.95, 19).tolist()  # the tenth is not quite a half
    [record] = forecast(http, series=AIR_PASSENGERS, quantiles=grid)["forecasts"]
    assert len(record["quantiles"]) == 19
    assert (np.diff(np.array(list(record["quantiles"].values())), axis=0) >= 0).all()


def test_a_backtest_takes_the_season_of_a_forecast_and_its_horizon(http: httpx.Client) -> None:
    answer = http.post("/backtest", json={"series": AIR_PASSENGERS, "windows": 1}).json()
    assert answer["horizon"] == 12
    assert http.post("/backtest", json={"series": AIR_PASSENGERS, "windows": 1, "season": 4}).json()["horizon"] == 4
    body = {"series": AIR_PASSENGERS, "windows": 1, "season": 20_000}
    assert_problem(http.post("/backtest", json=body), 422, "out_of_bounds", "/season")


def test_wide_seasons_make_calls_small_and_are_not_taken_for_cheap() -> None:
    class Engine:
        def estimate(self, kind: str, rows: int, length: int, horizon: int) -> float:
            return rows * length / 1e6

    def call(season: int) -> ZeroShotCall:
        return ZeroShotCall(cast(Any, Engine()), "rollout", 1, Seasons(season))

    rows = [np.zeros(2)] * 1000
    assert call(1).fit(rows, list(range(1000)), 0, 0)[0] == 128
    assert call(4000).fit(rows, list(range(1000)), 0, 0)[0] < 16
    assert call(336).seconds(10, 2) > 50 * call(1).seconds(10, 2)
