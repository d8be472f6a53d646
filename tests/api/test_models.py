"""The /models routes, on a real server over a store of its own."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.server import assert_problem, client
from tests.serving.models import Kind, add_version


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    add_version(root, "alpha", Kind(bias=1.0), created_at="2026-01-01T00:00:00.000Z")
    add_version(root, "alpha", Kind(bias=2.0), created_at="2026-01-02T00:00:00.000Z")
    add_version(root, "beta", Kind(head="vector", horizon=3), created_at="2026-01-03T00:00:00.000Z")
    return root


@pytest.fixture
def http(store: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    with client(store, tmp_path / "state") as http:
        yield http


def version_served(http: httpx.Client, **fields: object) -> int:
    response = http.post("/forecast", json={"model": "alpha", "series": [0, 0, 0], **fields})
    assert response.status_code == 200, response.text
    version: int = response.json()["version"]
    assert response.json()["forecasts"][0]["values"][0] == pytest.approx(version + 0.1)
    return version


def test_models_are_listed_with_what_one_must_know_to_use_them(http: httpx.Client) -> None:
    answer = http.get("/models").json()
    assert answer["next_cursor"] is None
    alpha, beta = answer["models"]
    assert (alpha["name"], alpha["versions"], alpha["aliases"], alpha["current_version"]) == ("alpha", [1, 2], {}, 2)
    assert (beta["head"], beta["modes"], beta["window"], beta["horizon"]) == ("vector", ["vector"], 50, 3)
    assert (alpha["engine"], alpha["metrics"]) == ("onnx", {"validation": {"mse": 0.5}})
    assert (alpha["is_default"], beta["is_default"]) == (True, False)
    assert http.get("/models/alpha").json() == alpha


def test_a_version_shows_its_manifest(http: httpx.Client) -> None:
    manifest = http.get("/models/alpha/versions/1").json()
    assert (manifest["name"], manifest["version"]) == ("alpha", 1)
    assert manifest["job_id"].startswith("job-of-alpha")
    assert "saved_model.pb" in manifest["files"]


def test_an_alias_decides_which_version_is_served(http: httpx.Client) -> None:
    assert version_served(http) == 2
    response = http.put("/models/alpha/aliases/champion", json={"version": 1})
    assert response.status_code == 200
    assert (response.json()["aliases"], response.json()["current_version"]) == ({"champion": 1}, 1)
    assert version_served(http) == 1
    assert version_served(http, version=2) == 2
    http.put("/models/alpha/aliases/canary", json={"version": 2})
    assert version_served(http, version="canary") == 2
    assert http.get("/models/alpha/versions/canary").json()["version"] == 2


def test_an_alias_to_a_version_that_is_not_there_is_refused(http: httpx.Client) -> None:
    assert_problem(http.put("/models/alpha/aliases/champion", json={"version": 9}), 404, "version_not_found")
    assert_problem(http.put("/models/nobody/aliases/champion", json={"version": 1}), 404, "model_not_found")
    assert_problem(http.put("/models/alpha/aliases/a", json={"version": "1"}), 422, "wrong_type", "/version")
    assert_problem(http.put("/models/alpha/aliases/a", json={"versio": 1}), 422, "unknown_field", "/versio")
    assert http.get("/models/alpha").json()["aliases"] == {}


def test_a_version_is_deleted_unless_an_alias_names_it(http: httpx.Client, store: Path) -> None:
    assert version_served(http, version=1) == 1
    http.put("/models/alpha/aliases/champion", json={"version": 1})
    assert_problem(http.delete("/models/alpha/versions/1"), 409, "alias_in_use")
    assert version_served(http) == 1
    response = http.delete("/models/alpha/versions/2")
    assert (response.status_code, response.content) == (204, b"")
    assert http.get("/models/alpha").json()["versions"] == [1]
    body = {"model": "alpha", "version": 2, "series": [1, 2, 3]}
    assert_problem(http.post("/forecast", json=body), 404, "version_not_found")
    assert_problem(http.delete("/models/alpha/versions/2"), 404, "version_not_found")
    assert add_version(store, "alpha", Kind()).version == 3


def test_a_model_is_deleted_whole_and_its_numbers_are_never_used_again(http: httpx.Client, store: Path) -> None:
    http.put("/models/alpha/aliases/champion", json={"version": 1})
    response = http.delete("/models/alpha")
    assert (response.status_code, response.content) == (204, b"")
    assert_problem(http.get("/models/alpha"), 404, "model_not_found")
    assert_problem(http.delete("/models/alpha"), 404, "model_not_found")
    assert "alpha" not in [model["name"] for model in http.get("/models").json()["models"]]
    manifest = add_version(store, "alpha", Kind())
    assert manifest.version == 3
    # A version that was published a moment ago is found, whoever asks first; no alias is left of the old ones.
    assert http.get("/models/alpha").json()["aliases"] == {}


def test_the_default_model_can_be_chosen(http: httpx.Client) -> None:
    body = {"series": [1, 2, 3]}
    assert http.post("/forecast", json=body).json()["model"] == "alpha"
    response = http.put("/models/default", json={"name": "beta"})
    assert (response.status_code, response.json()["is_default"]) == (200, True)
    assert http.post("/forecast", json=body).json()["model"] == "beta"
    assert_problem(http.put("/models/default", json={"name": "nobody"}), 404, "model_not_found")
    assert_problem(http.put("/models/default", json={"name": "../x"}), 422, "bad_name", "/name")


def test_a_model_without_an_accepted_version_is_served_by_number_only(http: httpx.Client, store: Path) -> None:
    add_version(store, "weak", Kind(bias=1.0), gate={"passed": False, "reason": "worse than naive"})
    body = {"model": "weak", "series": [0, 0, 0]}
    response = http.post("/forecast", json=body)
    while response.status_code == 404:
        response = http.post("/forecast", json=body)
    assert_problem(response, 409, "no_champion")
    assert http.post("/forecast", json={**body, "version": 1}).status_code == 200
    assert http.get("/models/weak").json()["current_version"] is None


def test_a_damaged_version_is_said_to_be_unavailable_and_others_are_served(http: httpx.Client, store: Path) -> None:
    file = store / "beta" / "1" / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:-1])
    response = http.post("/forecast", json={"model": "beta", "series": [1, 2, 3]})
    assert_problem(response, 503, "version_damaged")
    assert int(response.headers["retry-after"]) >= 1
    assert version_served(http) == 2
