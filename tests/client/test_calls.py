"""Every call of both clients against a real server."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from outfielder_client import (
    AccessDenied,
    Client,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    RequestRefused,
    Retry,
    UnusableInput,
)
from tests.api.server import running
from tests.client.conftest import PATIENT, Make
from tests.serving.models import KINDS, Kind, add_version

SERIES = [float(value) for value in range(1, 25)]


@pytest.mark.parametrize(
    "given",
    [
        SERIES,
        tuple(SERIES),
        np.array(SERIES),
        np.array(SERIES, dtype=np.float32),
        [np.float64(value) for value in SERIES],
        pl.Series(SERIES),
        pl.Series(SERIES).to_pandas(),
        [int(value) for value in SERIES],
        [SERIES],
        np.array([SERIES]),
        {"0": SERIES},
        {"0": np.array(SERIES)},
        [{"id": "0", "values": np.array(SERIES)}],
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_series_is_the_same_in_every_form(client: Any, given: Any) -> None:
    answer = client.forecast(given, model="lstm", horizon=3)
    assert (answer["model"], answer["version"], answer["horizon"]) == ("lstm", 1, 3)
    [forecast] = answer["forecasts"]
    assert forecast["id"] == "0"
    assert forecast["values"] == pytest.approx(KINDS["lstm"].expected(SERIES, 3), rel=1e-5)


@pytest.mark.parametrize("missing", [None, math.nan, np.nan, np.float32("nan")])
def test_a_missing_value_may_be_written_as_python_writes_it(client: Any, missing: Any) -> None:
    given = [1.0, missing, 3.0]
    with_null = client.forecast([1.0, None, 3.0], model="lstm")["forecasts"]
    assert client.forecast(given, model="lstm")["forecasts"] == with_null
    assert client.forecast({"0": given}, model="lstm")["forecasts"] == with_null


@pytest.mark.parametrize("given", [[1.0, math.inf], object(), [1.0, object()], {"a": [1, -math.inf]}, ["\ud800"]])
def test_what_is_no_series_is_refused_before_anything_is_sent(make: Make, given: Any) -> None:
    with make("http://127.0.0.1:9", retry=Retry(attempts=1)) as client, pytest.raises(UnusableInput):
        client.forecast(given)


def test_a_forecast_has_what_the_api_gives(client: Any) -> None:
    answer = client.forecast(
        SERIES, model="zero-shot", horizon=2, level=[80, np.float64(95)], quantiles=[0.1], freq="D", start="2026-01-01",
        season=7, fitted=True, non_negative=True, explain=True, missing="ffill",
    )  # fmt: skip
    [forecast] = answer["forecasts"]
    assert forecast["timestamps"] == ["2026-01-25", "2026-01-26"]
    assert forecast["intervals"].keys() == {"80", "95"}
    assert forecast["quantiles"]["0.1"] == forecast["intervals"]["80"]["lower"]
    assert len(forecast["fitted"]) == len(SERIES)
    assert forecast["experts"]
    sequence = client.forecast(SERIES, model="lstm", mode="sequence", all_steps=True)
    assert len(sequence["forecasts"][0]["sequence"]) == len(SERIES)
    assert client.forecast(SERIES, model="zero-shot", level=80, horizon=1)["forecasts"][0]["intervals"].keys() == {"80"}


def test_a_refusal_carries_the_problem_document(client: Any) -> None:
    with pytest.raises(InvalidRequest, match="Expected a horizon of 1 to 1000") as caught:
        client.forecast(SERIES, horizon=1001)
    error = caught.value
    assert (error.status, error.code, error.pointer) == (422, "horizon_out_of_bounds", "/horizon")
    assert error.problem is not None
    assert error.request_id == error.problem["request_id"]
    assert [flaw.pointer for flaw in error.flaws] == ["/horizon"]
    with pytest.raises(NotFound) as missing:
        client.forecast(SERIES, model="nobody")
    assert (missing.value.status, missing.value.code) == (404, "model_not_found")


@pytest.mark.parametrize("arguments", [{}, {"series": SERIES, "dataset": "x"}])
@pytest.mark.parametrize("call", ["forecast", "anomalies"])
def test_series_or_a_data_set_is_needed(client: Any, call: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(UnusableInput, match="dataset"):
        getattr(client, call)(**arguments)


def test_anomalies_are_found(client: Any) -> None:
    given = [*SERIES * 3]
    given[50] = 500.0
    answer = client.anomalies(given, model="zero-shot", level=95, season=24)
    assert answer["level"] == 95
    assert 50 in answer["series"][0]["anomalies"]


def test_an_upload_is_kept_listed_forecast_and_removed(client: Any, tmp_path: Path) -> None:
    table = "shop;day;sales\n" + "".join(f"north;2026-01-{day:02};{day},5\n" for day in range(1, 20))
    (tmp_path / "sales.csv").write_text(table)
    dataset = client.upload(tmp_path / "sales.csv", id_col="shop", time_col="day", target_col="sales", decimal=",")
    assert (dataset["n_series"], dataset["n_points"], dataset["freq"]) == (1, 19, "D")
    assert client.dataset(dataset["id"]) == dataset
    assert dataset["id"] in [each["id"] for each in client.datasets()]
    [series] = client.dataset_series(dataset["id"])
    assert series["values"] == [day + 0.5 for day in range(1, 20)]
    [forecast] = client.forecast(dataset=dataset["id"], model="lstm", horizon=1)["forecasts"]
    assert forecast["timestamps"] == ["2026-01-20"]
    other = client.replace_dataset(dataset["id"], {"south": [1, 2, 3]})
    assert (other["id"], other["n_points"]) == (dataset["id"], 3)
    with pytest.raises(RequestRefused, match="has changed since"):
        client.replace_dataset(dataset["id"], [1, 2], if_match='"5f0c"')
    assert [series["id"] for series in client.dataset_series(dataset["id"])] == ["south"]
    assert client.delete_dataset(dataset["id"]) is None
    with pytest.raises(NotFound):
        client.dataset(dataset["id"])
    with pytest.raises(NotFound):
        client.delete_dataset(dataset["id"])


@pytest.mark.parametrize(
    "given",
    [
        b"ds,y\n2026-01-01,1\n2026-01-02,2\n2026-01-03,3\n2026-01-04,4\n",
        json.dumps({"series": [1, 2, 3, 4], "freq": "D", "start": "2026-01-01"}).encode(),
        pl.DataFrame({"ds": [f"2026-01-0{day}" for day in range(1, 5)], "y": [1, 2, 3, 4]}),
    ],
    ids=["csv", "json", "frame"],
)
def test_bytes_and_frames_are_uploads_too(client: Any, given: Any) -> None:
    dataset = client.upload(given)
    assert (dataset["n_points"], dataset["freq"]) == (4, "D")
    client.delete_dataset(dataset["id"])


def test_lists_are_uploads_too(client: Any) -> None:
    dataset = client.upload({"a": [1, 2, None], "b": np.array([4, 5])}, freq="D", start="2026-01-01")
    assert [series["values"] for series in client.dataset_series(dataset["id"])] == [[1, 2, None], [4, 5]]
    client.delete_dataset(dataset["id"])
    with pytest.raises(UnusableInput, match="id_column"):
        client.upload([1, 2, 3], id_col="shop")


def test_a_list_is_read_page_after_page(client: Any) -> None:
    kept = [client.upload([float(number)])["id"] for number in range(55)]
    assert [each["id"] for each in client.datasets()][:55] == kept[::-1]
    for dataset_id in kept:
        client.delete_dataset(dataset_id)


def test_models_versions_aliases_and_the_default(make: Make, tmp_path: Path) -> None:
    root = tmp_path / "store"
    for _ in range(2):
        add_version(root, "mine", Kind(memory=2))
    add_version(root, "other", Kind())
    with running(root, tmp_path / "state") as url, make(url, retry=PATIENT) as client:
        assert [model["name"] for model in client.models()] == ["mine", "other"]
        assert client.set_alias("mine", "champion", 1)["aliases"] == {"champion": 1}
        assert client.forecast([1.0, 2.0], model="mine")["version"] == 1
        assert client.version("mine", "champion")["version"] == 1
        with pytest.raises(Conflict) as caught:
            client.delete_version("mine", 1)
        assert caught.value.code == "alias_in_use"
        assert client.delete_version("mine", 2) is None
        assert client.model("mine")["versions"] == [1]
        client.set_default("other")
        assert client.forecast([1.0, 2.0])["model"] == "other"
        assert isinstance(client.leaderboard(metric="mse", part="validation"), list)


def test_a_backtest_gives_scores(client: Any) -> None:
    scores = client.backtest(SERIES, model="lstm", horizon=2, windows=2, level=None)
    assert scores["overall"].keys() >= {"model", "naive"}
    dataset = client.upload(SERIES)["id"]
    assert client.backtest(dataset=dataset, model="lstm", horizon=2, windows=2)["overall"] == scores["overall"]
    frame = pl.DataFrame({"ds": range(24), "y": SERIES})
    assert client.backtest(frame, model="lstm", horizon=2, windows=2)["overall"] == scores["overall"]
    client.delete_dataset(dataset)


def test_the_health_of_a_server(client: Any) -> None:
    assert client.is_ready()
    assert client.health()


def test_nobody_there_is_told(make: Make) -> None:
    with make("http://127.0.0.1:9", retry=PATIENT) as client:
        assert not client.is_ready()
        with pytest.raises(ConnectionFailed, match=r"No server answers at http://127\.0\.0\.1:9"):
            client.forecast(SERIES)
    with make("http://127.0.0.1:9", retry=Retry(unreachable=False)) as client, pytest.raises(ConnectionFailed):
        client.forecast(SERIES)


def test_a_key_is_sent_from_the_argument_or_the_environment(
    make: Make, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(store, tmp_path, api_keys="open-sesame") as url:
        with make(url) as client, pytest.raises(AccessDenied) as caught:
            client.forecast(SERIES)
        assert caught.value.status == 401
        with make(url, "open-sesame") as client:
            assert client.forecast(SERIES, model="lstm")["model"] == "lstm"
        monkeypatch.setenv("OUTFIELDER_API_KEY", "open-sesame")
        with make(url) as client:
            assert client.forecast(SERIES, model="lstm")["model"] == "lstm"


def test_one_client_serves_several_threads(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with Client(url, retry=PATIENT) as client, ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda level: client.forecast([float(level)] * 5, model="lstm", horizon=1), range(20))
        values = [answer["forecasts"][0]["values"][0] for answer in answers]
    assert values == pytest.approx([level + 0.1 for level in range(20)], rel=1e-5)


def test_both_clients_have_the_same_calls_with_their_docs() -> None:
    import inspect

    from outfielder_client import AsyncClient

    calls = {name for name in vars(Client) if not name.startswith("_")} - {"of"}
    assert calls == {name for name in vars(AsyncClient) if not name.startswith("_")}
    for name in calls - {"url", "close"}:
        blocking, awaited = getattr(Client, name), getattr(AsyncClient, name)
        assert blocking.__doc__
        assert blocking.__doc__ == awaited.__doc__
        assert list(inspect.signature(blocking).parameters) == list(inspect.signature(awaited).parameters)


@pytest.mark.parametrize("address", ["localhost:8000", "", "ftp://localhost", "//localhost"])
def test_an_address_that_is_none_is_told_at_once(make: Make, address: str) -> None:
    with pytest.raises(UnusableInput, match=r"such as http://127\.0\.0\.1:8000"):
        make(address)


def test_what_is_no_service_is_told(client: Any, url: str) -> None:
    with pytest.raises(RequestRefused, match="Expected JSON"):
        client.request("GET", "/docs")
    with pytest.raises(NotFound) as caught:
        client.request("POST", "/nowhere", {"a": 1})
    assert caught.value.code == "route_not_found"
    assert client.request("GET", "/examples")["examples"]


@pytest.mark.parametrize("name", ["../jobs", "a/b", "a?b", "a b#c", "%2e%2e"])
def test_a_name_stays_within_its_place_of_the_path(client: Any, name: str) -> None:
    for call in (client.model, client.job, client.dataset, client.delete_dataset):
        with pytest.raises((NotFound, InvalidRequest)):
            call(name)


def test_a_key_is_shown_to_nobody(url: str) -> None:
    with Client(url, "open-sesame", headers={"X-Secret": "open-sesame"}) as client:
        assert "open-sesame" not in repr(client._api.connection)


def test_many_jobs_are_not_submitted_as_one(make: Make, url: str) -> None:
    with make(url) as client:
        before = [job["id"] for job in client.jobs()]
        with pytest.raises(UnusableInput, match="train_all"):
            client.train("chapter")
        assert [job["id"] for job in client.jobs()] == before


def test_schedules_are_made_changed_run_and_removed(tmp_path: Path, make: Make) -> None:
    with running(tmp_path / "store", tmp_path / "state") as url, make(url, retry=PATIENT) as client:
        made = client.schedule("0 3 * * 1", {"architecture": "linear", "name": "weekly"}, timezone="Europe/Berlin")
        assert [one["id"] for one in client.schedules()] == [made["id"]]
        assert client.change_schedule(made["id"], paused=True)["next_at"] is None
        ran = client.run_schedule(made["id"])
        assert client.job(ran["runs"][0]["jobs"][0])["model"] == "weekly"
        with pytest.raises(Conflict) as caught:
            client.run_schedule(made["id"])
        assert caught.value.code == "last_run_active"
        assert client.get_schedule(made["id"])["paused"]
        assert client.delete_schedule(made["id"]) is None
        assert list(client.schedules()) == []
