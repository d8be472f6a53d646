"""POST /forecast as clients see it, on a real server."""

import gzip
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.store.catalog import Catalog
from tests.api.server import assert_problem, client, running, wait_until
from tests.serving.models import KINDS, Kind, add_version


def forecast(http: httpx.Client, **body: Any) -> dict[str, Any]:
    response = http.post("/forecast", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_the_answer_has_the_contract_form(http: httpx.Client) -> None:
    answer = forecast(http, model="lstm", series=[[1, 2, 3], [4, None, 6]])
    assert answer.keys() == {"model", "version", "mode", "horizon", "rolled_out", "forecasts", "timing_ms"}
    assert (answer["model"], answer["version"], answer["mode"], answer["horizon"]) == ("lstm", 1, "sequence", 10)
    assert answer["rolled_out"] is False
    assert answer["timing_ms"].keys() == {"queue", "compute"}
    assert [one.keys() for one in answer["forecasts"]] == [{"id", "values"}] * 2
    assert answer["forecasts"][1]["values"] == pytest.approx(KINDS["lstm"].expected([4, 5, 6]), rel=1e-5)


@pytest.mark.parametrize("engine", ["savedmodel", "onnx"])
def test_either_engine_answers_every_mode(stored_kinds: Path, tmp_path: Path, engine: str) -> None:
    with client(stored_kinds, tmp_path, engine=engine) as http:
        for name, kind in KINDS.items():
            assert http.get(f"/models/{name}").json()["engine"] == engine
            for horizon in (1, kind.horizon, 2 * kind.horizon + 1):
                answer = forecast(http, model=name, series=[[1, 2, 3, 5], [4, None, 6, 5, 9]], horizon=horizon)
                for series, one in zip(([1, 2, 3, 5], [4, 5, 6, 5, 9]), answer["forecasts"], strict=True):
                    assert one["values"] == pytest.approx(kind.expected(series, horizon), rel=1e-5)


@pytest.mark.parametrize(
    ("series", "ids"),
    [
        ([1, 2, 3], ["0"]),
        ([[1, 2, 3], [4]], ["0", "1"]),
        ({"b": [1, 2], "a": [3]}, ["b", "a"]),
        ([{"id": "x", "values": [1]}, {"id": "", "values": [2]}], ["x", ""]),
    ],
)
def test_ids_come_back_in_the_order_of_the_request(http: httpx.Client, series: Any, ids: list[str]) -> None:
    answer = forecast(http, model="lstm", series=series)
    assert [one["id"] for one in answer["forecasts"]] == ids


def test_the_default_model_is_lstm_where_nobody_has_set_another(http: httpx.Client) -> None:
    assert forecast(http, series=[1, 2, 3])["model"] == "lstm"


def test_a_bad_series_is_told_in_its_place(http: httpx.Client) -> None:
    answer = forecast(http, model="whole", series=[[1, 2, 3, 4], [1, 2], [2, 3, 4, 5]])
    good, bad, also_good = answer["forecasts"]
    assert bad.keys() == {"id", "error"}
    assert bad["error"].keys() == {"pointer", "code", "message"}
    assert (bad["error"]["pointer"], bad["error"]["code"]) == ("/series/1", "too_short")
    assert len(good["values"]) == len(also_good["values"]) == 4


def test_timestamps_and_sequence_stand_only_where_asked_for(http: httpx.Client) -> None:
    answer = forecast(
        http, model="lstm", series=[[1, 2, 3]], mode="sequence", all_steps=True, freq="D", start="2026-01-01", horizon=2
    )
    one = answer["forecasts"][0]
    assert one.keys() == {"id", "values", "timestamps", "sequence"}
    assert one["timestamps"] == ["2026-01-04", "2026-01-05"]
    assert len(one["sequence"]) == 3
    assert one["sequence"][-1] == one["values"]


def test_a_horizon_of_a_thousand_steps_is_reached(http: httpx.Client) -> None:
    answer = forecast(http, model="lstm", series=[1, 2, 3], horizon=1000)
    assert answer["rolled_out"] is True
    assert answer["forecasts"][0]["values"] == pytest.approx(KINDS["lstm"].expected([1, 2, 3], 1000), rel=1e-4)


def test_a_client_gets_its_own_request_id_back_and_else_a_new_one(http: httpx.Client) -> None:
    body = {"series": [1, 2, 3]}
    for given in ("a", "Order 66 / try 2", "x" * 128):
        response = http.post("/forecast", json=body, headers={"X-Request-ID": given})
        assert response.headers["x-request-id"] == given
    ids = {
        http.post("/forecast", json=body, headers={"X-Request-ID": given}).headers["x-request-id"]
        for given in ("", "x" * 129, "tab\there")
    }
    assert len(ids) == 3
    assert ids.isdisjoint({"", "x" * 129, "tab\there"})
    assert_problem(http.post("/forecast", json={}, headers={"X-Request-ID": "mine"}), 422, "missing_field")


def test_many_clients_at_once_get_their_own_answers(http: httpx.Client) -> None:
    def ask_many(seed: int) -> None:
        numbers = random.Random(seed)
        with httpx.Client(base_url=http.base_url, timeout=60) as own:
            for i in range(40):
                name, series = numbers.choice(list(KINDS)), [seed * 1000.0 + i] * numbers.randint(4, 40)
                answer = forecast(own, model=name, series=series, horizon=3)
                assert answer["model"] == name
                assert answer["forecasts"][0]["values"] == pytest.approx(KINDS[name].expected(series, 3), rel=1e-5)

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(ask_many, range(24)))


def test_a_bulk_request_is_answered_whole_and_others_are_served_meanwhile(http: httpx.Client) -> None:
    rows = [[float(i)] * (4 + i % 7) for i in range(4000)]
    body = gzip.compress(json.dumps({"model": "whole", "series": rows}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    n_before = 0
    with ThreadPoolExecutor(1) as pool:
        bulk = pool.submit(http.post, "/forecast", content=body, headers=headers)
        while not bulk.done():
            assert http.get("/healthz").status_code == 200
            n_before += not bulk.done()
    answers = bulk.result().json()["forecasts"]
    assert [one["id"] for one in answers] == [str(i) for i in range(4000)]
    assert answers[3999]["values"] == pytest.approx(KINDS["whole"].expected(rows[3999]), rel=1e-5)
    # One may have come before the bulk did, and none while a server is busy with it alone.
    assert n_before > 3


def test_a_swap_of_versions_fails_no_request_and_takes_effect_for_all_that_ask_later(tmp_path: Path) -> None:
    root = tmp_path / "store"
    add_version(root, "m", Kind(bias=100.0))
    add_version(root, "m", Kind(bias=200.0))
    Catalog(root).set_alias("m", "champion", 1)
    with running(root, tmp_path / "state") as url:
        stop = threading.Event()
        seen: list[tuple[float, float, int, float]] = []

        def ask() -> None:
            with httpx.Client(base_url=url, timeout=60) as http:
                while not stop.is_set():
                    started = time.monotonic()
                    answer = forecast(http, model="m", series=[0, 0, 0])
                    values = answer["forecasts"][0]["values"]
                    seen.append((started, time.monotonic(), answer["version"], values[0]))

        with ThreadPoolExecutor(3) as pool, httpx.Client(base_url=url, timeout=60) as http:
            askers = [pool.submit(ask) for _ in range(3)]
            try:
                wait_until(lambda: len(seen) > 20)
                # Set by another process than the server's, as the worker does.
                Catalog(root).set_alias("m", "champion", 2)
                wait_until(lambda: forecast(http, model="m", series=[0, 0, 0])["version"] == 2)
                elsewhere, n_seen = time.monotonic(), len(seen)
                wait_until(lambda: len(seen) > n_seen + 20)
                swapping = time.monotonic()
                assert http.put("/models/m/aliases/champion", json={"version": 1}).status_code == 200
                here, n_seen = time.monotonic(), len(seen)
                wait_until(lambda: len(seen) > n_seen + 20)
            finally:
                stop.set()
            for asker in askers:
                asker.result()
    for _, _, version, first in seen:
        assert first == pytest.approx(version * 100 + 0.1)
    assert {version for started, ended, version, _ in seen if elsewhere < started and ended < swapping} == {2}
    assert {version for started, _, version, _ in seen if started > here} == {1}


def test_a_deadline_is_kept_and_frees_the_queue(stored_kinds: Path, tmp_path: Path) -> None:
    with client(stored_kinds, tmp_path) as http:
        forecast(http, model="whole", series=[1, 2, 3, 4])
        heavy = {"model": "whole", "series": [[1.0] * 3000] * 400, "horizon": 1000}
        started = time.monotonic()
        late = http.post("/forecast", json=heavy, headers={"X-Request-Timeout-Ms": "300"})
        assert_problem(late, 504, "deadline_exceeded")
        assert time.monotonic() - started > 0.25
        light = {"model": "lstm", "series": [1, 2, 3]}
        assert http.post("/forecast", json=light, headers={"X-Request-Timeout-Ms": "60000"}).status_code == 200
        for wrong in ("0", "-1", "soon", "1.5", "9" * 30):
            refused = http.post("/forecast", json=light, headers={"X-Request-Timeout-Ms": wrong})
            assert_problem(refused, 400, "bad_header")


def test_a_client_that_gives_up_leaves_the_server_serving(stored_kinds: Path, tmp_path: Path) -> None:
    with client(stored_kinds, tmp_path) as http:
        forecast(http, model="whole", series=[1, 2, 3, 4])
        heavy = {"model": "whole", "series": [[1.0] * 3000] * 400, "horizon": 1000}
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                http.post("/forecast", json=heavy, timeout=0.2)
        forecast(http, model="lstm", series=[1, 2, 3])
        assert "outfielder_forecasts_waiting 0.0" in http.get("/metrics").text


def test_no_number_is_below_zero_where_the_request_wants_none(http: httpx.Client) -> None:
    body = {"model": "lstm", "series": [-0.5, -0.4, -0.6, -0.5, -0.7, -0.6, -0.8, -0.7]}
    free = http.post("/forecast", json=body).json()["forecasts"][0]["values"]
    kept = http.post("/forecast", json={**body, "non_negative": True}).json()["forecasts"][0]["values"]
    assert kept == [max(value, 0) for value in free]
    assert_problem(http.post("/forecast", json={**body, "season": 3}), 422, "season_not_available", "/season")
    assert_problem(http.post("/forecast", json={**body, "explain": True}), 422, "explain_not_available", "/explain")
