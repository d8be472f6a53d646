"""The TimeGPT v2 protocol as its client speaks it. The client itself is tried in tests/clients."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
import zstandard

from service.cli.first_run import load_air_passengers
from service.store.pretrained import publish_pretrained
from tests.api.server import assert_problem, client

PASSENGERS = [float(value) for part in load_air_passengers() for value in part]
SHORT = PASSENGERS[:60]


@pytest.fixture(scope="module")
def http(stored_kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("models") / "store"
    shutil.copytree(stored_kinds, root)
    publish_pretrained(root)
    with client(root, tmp_path_factory.mktemp("state"), max_body_bytes=2**22) as http:
        yield http


def make_body(**fields: Any) -> dict[str, Any]:
    """What the client sends: two series one behind the other, and members that this service has no use for."""
    series = {"y": [*PASSENGERS, *SHORT], "sizes": [144, 60], "X": None, "X_future": None}
    return {
        "series": {**series, **fields.pop("series", {})},
        "model": "timegpt-2.1",
        "freq": "MS",
        "clean_ex_first": True,
        "finetune_depth": 1,
        "finetuned_model_id": None,
        "feature_contributions": False,
        "multivariate": False,
        **fields,
    }


def ask(http: httpx.Client, task: str, **fields: Any) -> dict[str, Any]:
    response = http.post(f"/v2/{task}", json=make_body(**fields))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_forecasts_are_those_of_the_native_route(http: httpx.Client) -> None:
    answer = ask(http, "forecast", h=6, level=[80, 95.5, 0])
    native = http.post(
        "/forecast",
        json={"series": [PASSENGERS, SHORT], "model": "zero-shot", "freq": "MS", "horizon": 6, "level": [80, 95.5]},
    ).json()["forecasts"]
    joined = [value for record in native for value in record["values"]]
    assert answer["mean"] == pytest.approx(joined, rel=1e-6)
    assert answer["intervals"].keys() == {"lo-80", "hi-80", "lo-95.5", "hi-95.5"}
    for key, bound in (("lo-80", "lower"), ("hi-80", "upper")):
        bounds = [value for record in native for value in record["intervals"]["80"][bound]]
        assert answer["intervals"][key] == pytest.approx(bounds, rel=1e-6)
    assert answer["weights_x"] is None
    assert ask(http, "forecast", h=6)["intervals"] is None


@pytest.mark.parametrize("model", ["timegpt-1", "timegpt-1-long-horizon", "azureai", "", "zero-shot"])
def test_the_names_of_their_models_mean_the_default_one(http: httpx.Client, model: str) -> None:
    assert http.put("/models/default", json={"name": "zero-shot"}).status_code == 200
    assert ask(http, "forecast", h=2, model=model)["mean"] == ask(http, "forecast", h=2)["mean"]


def test_a_model_of_the_store_answers_by_its_own_name(http: httpx.Client) -> None:
    native = http.post("/forecast", json={"series": [PASSENGERS, SHORT], "model": "lstm", "horizon": 3}).json()
    answer = ask(http, "forecast", h=3, model="lstm")
    assert answer["mean"] == pytest.approx([v for one in native["forecasts"] for v in one["values"]], rel=1e-6)
    asked_by_its_client = http.get("/v2/models", headers={"nixtla-client-version": "0.9.0"}).json()
    assert {"timegpt-1", "lstm"} <= {model["name"] for model in asked_by_its_client["models"]}
    assert "lstm" in http.get("/v2/models").json()["models"]


def test_cross_validation_names_the_rows_that_it_forecast(http: httpx.Client) -> None:
    answer = ask(http, "cross_validation", h=3, n_windows=2, step_size=2, level=[90], refit=True)
    assert answer["sizes"] == [6, 6]
    assert answer["idxs"] == [139, 140, 141, 141, 142, 143, 199, 200, 201, 201, 202, 203]
    native = http.post(
        "/backtest",
        json={
            "series": [PASSENGERS, SHORT],
            "model": "zero-shot",
            "freq": "MS",
            "horizon": 3,
            "windows": 2,
            "step": 2,
            "forecasts": True,
        },
    ).json()
    values = [v for one in native["series"] for forecast in one["forecasts"] for v in forecast["values"]]
    assert answer["mean"] == pytest.approx(values, rel=1e-6)
    assert len(answer["intervals"]["lo-90"]) == 12


def test_history_is_forecast_one_step_ahead(http: httpx.Client) -> None:
    answer = ask(http, "cross_validation", h=1, n_windows=1, step_size=1, full_history=True, level=[80, 90])
    fitted = http.post(
        "/forecast", json={"series": [PASSENGERS, SHORT], "model": "zero-shot", "freq": "MS", "fitted": True}
    ).json()["forecasts"]
    known = [[value for value in record["fitted"] if value is not None] for record in fitted]
    assert answer["sizes"] == [len(values) for values in known]
    assert answer["mean"] == pytest.approx([v for values in known for v in values], rel=1e-6)
    assert answer["intervals"].keys() == {"lo-80", "hi-80", "lo-90", "hi-90"}


def test_anomalies_are_those_of_the_native_route(http: httpx.Client) -> None:
    spoiled = [*PASSENGERS[:100], 900.0, *PASSENGERS[101:]]
    answer = ask(http, "anomaly_detection", level=99, series={"y": spoiled, "sizes": [144]})
    native = http.post("/anomalies", json={"series": spoiled, "model": "zero-shot", "freq": "MS", "level": 99}).json()[
        "series"
    ][0]
    first = native["first"]
    assert answer["sizes"] == [144 - first]
    assert [first + i for i, is_one in enumerate(answer["anomaly"]) if is_one] == native["anomalies"]
    assert answer["anomaly"][100 - first]


@pytest.mark.parametrize(("h", "step"), [(1, None), (6, None), (4, 2)])
def test_the_last_points_are_judged_from_before_their_window(http: httpx.Client, h: int, step: int | None) -> None:
    spoiled = [*PASSENGERS[:140], 900.0, *PASSENGERS[141:]]
    answer = ask(
        http,
        "online_anomaly_detection",
        h=h,
        detection_size=10,
        step_size=step,
        threshold_method="univariate",
        level=95,
        series={"y": [*spoiled, *SHORT], "sizes": [144, 60]},
    )
    assert answer["sizes"] == [10, 10]
    assert answer["idxs"] == [*range(134, 144), *range(194, 204)]
    assert answer["anomaly"][6]
    assert answer["anomaly_score"][6] > 1
    scores = np.array(answer["anomaly_score"])
    assert ((np.abs(scores) > 1) == np.array(answer["anomaly"])).all()


def test_points_behind_a_gap_are_judged_once_each(http: httpx.Client) -> None:
    gappy: list[float | None] = [*PASSENGERS[:138], None, None, 900.0, *PASSENGERS[141:]]
    answer = ask(
        http, "online_anomaly_detection", h=3, step_size=1, detection_size=8, series={"y": gappy, "sizes": [144]}
    )
    assert answer["idxs"] == list(range(136, 144))
    assert answer["anomaly"][4]
    # Missing points are none.
    assert not answer["anomaly"][2]


def test_what_came_of_a_fine_tuning_that_was_cancelled_is_done_anew(http: httpx.Client) -> None:
    body = make_body(output_model_id="again")
    first = http.post("/v2/finetune/async", json=body).json()["job_id"]
    http.post(f"/v2/async/jobs/{first}/cancel")
    second = http.post("/v2/finetune/async", json=body).json()["job_id"]
    assert second != first
    assert http.get(f"/v2/finetune/jobs/{second}").json()["status"] == "pending"
    http.post(f"/v2/async/jobs/{second}/cancel")


def test_tasks_are_to_be_had_as_jobs(http: httpx.Client) -> None:
    submitted = http.post("/v2/forecast/async", json=make_body(h=4))
    assert submitted.status_code == 202
    job = http.get(f"/v2/forecast/jobs/{submitted.json()['job_id']}").json()
    assert job["status"] == "succeeded"
    assert job["result"]["mean"] == ask(http, "forecast", h=4)["mean"]
    assert_problem(http.get("/v2/cross_validation/jobs/nothing"), 404, "job_not_found")
    assert_problem(http.get("/v2/forecast/jobs/..%2f..%2fsecret"), 404, "route_not_found")


def test_a_fine_tuning_is_a_job_of_the_service_and_is_submitted_once(http: httpx.Client) -> None:
    body = make_body(finetune_steps=20, finetune_loss="mae", output_model_id="tuned")
    first = http.post("/v2/finetune/async", json=body).json()["job_id"]
    assert http.post("/v2/finetune/async", json=body).json()["job_id"] == first
    job = http.get(f"/jobs/{first}").json()
    assert (job["model"], job["request"]["architecture"]) == ("tuned", "zero_shot")
    assert http.get(f"/v2/finetune/jobs/{first}").json()["status"] == "pending"
    assert http.post(f"/v2/async/jobs/{first}/cancel").status_code == 202
    assert http.get(f"/v2/finetune/jobs/{first}").json()["status"] == "cancelled"
    assert http.get("/v2/finetuned_models").json() == {"finetuned_models": []}
    assert_problem(http.get("/v2/finetuned_models/zero-shot"), 404, "model_not_found")
    assert_problem(http.delete("/v2/finetuned_models/lstm"), 404, "model_not_found")


@pytest.mark.parametrize(
    ("task", "fields", "pointer", "code"),
    [
        ("forecast", {"h": 3, "series": {"X": [[1.0] * 204]}}, "/series/X", "not_supported"),
        ("forecast", {"h": 3, "series": {"sizes": [144, 61]}}, "/series/sizes", "out_of_bounds"),
        ("forecast", {"h": 3, "series": {"sizes": [204, 0]}}, "/series/sizes", "out_of_bounds"),
        ("forecast", {"h": 3, "series": {"y": [1.0, "2"], "sizes": [2]}}, "/series/y/1", "wrong_type"),
        ("forecast", {"h": 3, "series": {"y": 5, "sizes": [1]}}, "/series/y", "wrong_type"),
        ("anomaly_detection", {"series": {"y": None, "sizes": [1]}}, "/series/y", "wrong_type"),
        ("forecast", {"h": 3, "series": {"y": [None, None], "sizes": [2]}}, "/series/0", "all_null"),
        ("forecast", {}, "/h", "missing_field"),
        ("forecast", {"h": 100_000}, "/horizon", "horizon_out_of_bounds"),
        ("forecast", {"h": 3, "freq": "fortnight"}, "/freq", "unknown_frequency"),
        ("forecast", {"h": 3, "model": "lstm", "level": [80]}, "/level", "level_not_calibrated"),
        ("forecast", {"h": 3, "multivariate": True}, "/multivariate", "not_supported"),
        ("cross_validation", {"h": 3, "n_windows": 90}, "/series/y", "too_short"),
        ("cross_validation", {"h": 3, "finetune_steps": 5}, "/finetune_steps", "not_supported"),
        ("finetune", {"finetune_loss": "poisson"}, "/finetune_loss", "unknown_choice"),
        ("finetune", {"finetuned_model_id": "other"}, "/finetuned_model_id", "not_supported"),
        ("finetune", {"output_model_id": "no spaces"}, "/output_model_id", "bad_name"),
        ("explain", {}, "", "not_supported"),
    ],
)
def test_what_this_service_has_not_is_said_in_words(
    http: httpx.Client, task: str, fields: dict[str, Any], pointer: str, code: str
) -> None:
    assert_problem(http.post(f"/v2/{task}", json=make_body(**fields)), 422, code, pointer)


def test_an_unknown_model_is_not_found(http: httpx.Client) -> None:
    assert_problem(http.post("/v2/forecast", json=make_body(h=1, model="nobody")), 404, "model_not_found")
    assert_problem(http.post("/v2/forecast", json=make_body(h=1, finetuned_model_id="gone")), 404, "model_not_found")


def compress(body: Any) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(orjson.dumps(body))


def test_bodies_may_be_compressed_with_zstd(http: httpx.Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "zstd"}
    answer = http.post("/v2/forecast", content=compress(make_body(h=5)), headers=headers)
    assert answer.json()["mean"] == ask(http, "forecast", h=5)["mean"]
    native = http.post("/forecast", content=compress({"series": SHORT, "model": "zero-shot"}), headers=headers)
    assert native.status_code == 200
    assert_problem(http.post("/forecast", content=b"not zstd at all", headers=headers), 400, "malformed_body")
    assert_problem(http.post("/forecast", content=b"", headers=headers), 400, "malformed_body")
    noise = np.random.default_rng(0).normal(size=20_000).tolist()
    cut = compress({"series": noise})[:-20]
    assert_problem(http.post("/forecast", content=cut, headers=headers), 400, "malformed_body")
    halves = b"".join([zstandard.compress(b'{"model": "zero-shot", "seri'), zstandard.compress(b'es": [1, 2, 3]}')])
    assert http.post("/forecast", content=halves, headers=headers).status_code == 200


def test_an_upload_that_was_cut_in_zstd_leaves_nothing_behind(http: httpx.Client) -> None:
    text = "".join(f"2024-01-{day:02d},{day * 1.37:.3f}\n" for day in range(1, 32)).encode() * 500
    headers = {"Content-Type": "text/csv", "Content-Encoding": "zstd"}
    before = http.get("/datasets").json()
    assert_problem(
        http.post("/datasets", content=zstandard.compress(text)[:-5], headers=headers), 400, "malformed_body"
    )
    assert http.get("/datasets").json() == before


def test_a_small_body_that_would_become_a_huge_one_is_refused(http: httpx.Client) -> None:
    bomb = zstandard.ZstdCompressor().compress(b" " * 2**28)
    assert len(bomb) < 2**16
    headers = {"Content-Type": "application/json", "Content-Encoding": "zstd"}
    assert_problem(http.post("/forecast", content=bomb, headers=headers), 413, "body_too_large")


def test_what_the_client_asks_before_it_begins(http: httpx.Client) -> None:
    assert "valid" in http.get("/validate_api_key").json()["detail"]
    detail = http.get("/model_params", params={"model": "timegpt-1", "freq": "MS"}).json()["detail"]
    assert detail == {"input_size": 4096, "horizon": 1000}
    assert http.get("/usage").json()["minute"]["usage"] == 0


def test_keys_are_asked_for_as_everywhere(stored_kinds: Path, tmp_path: Path) -> None:
    with client(stored_kinds, tmp_path, api_keys="secret") as guarded:
        assert_problem(guarded.get("/validate_api_key"), 401, "unauthorized")
        assert guarded.get("/validate_api_key", headers={"Authorization": "Bearer secret"}).status_code == 200
