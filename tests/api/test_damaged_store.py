"""A server over a store in which everything is damaged that can be, among whole models."""

import json
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.server import assert_problem, client, wait_until
from tests.engines.versions import add_fast_version
from tests.store.damages import GRAPH, OF_CONTENT, OF_MODELS, OF_STORES, OF_VERSIONS, change, flip, put

N_GOOD = 20


def add_copy(root: Path, pattern: Path, name: str, version: int = 1) -> Path:
    """Another whole version, quicker than by training one."""
    folder = root / name / str(version)
    shutil.copytree(pattern, folder)
    change(name=name, version=version)(folder)
    return folder


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pattern")
    add_fast_version(root, "m", "naive")
    return root / "m" / "1"


@pytest.fixture
def root(tmp_path: Path, pattern: Path) -> Path:
    for number in range(N_GOOD):
        add_copy(tmp_path / "store", pattern, f"good-{number}")
    return tmp_path / "store"


@pytest.fixture
def http(root: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    with client(root, tmp_path / "state") as http:
        yield http


def named(http: httpx.Client) -> dict[str, str]:
    return {damage["entry"]: damage["reason"] for damage in http.get("/models").json().get("damaged", [])}


def count_served(http: httpx.Client) -> int:
    answers = [http.post("/forecast", json={"model": f"good-{i}", "series": [1, 2, 3]}) for i in range(N_GOOD)]
    return sum(answer.status_code == 200 for answer in answers)


def test_all_that_is_whole_is_served_and_all_that_is_damaged_is_named(
    root: Path, tmp_path: Path, pattern: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = {}
    for number, (damage, words) in enumerate((OF_VERSIONS | OF_CONTENT).values(), 1):
        damage(add_copy(root, pattern, "broken", number))
        expected[f"broken/{number}"] = words
    for number, (damage, words) in enumerate(OF_MODELS.values(), 1):
        damage(add_copy(root, pattern, f"half-{number}").parent)
        expected[f"half-{number}"] = words
    for kind, (damage, words) in OF_STORES.items():
        if not kind.startswith("default"):
            damage(root)
            expected[kind] = words
    with caplog.at_level(logging.INFO, "service"), client(root, tmp_path / "state") as http:
        assert count_served(http) == N_GOOD
        # Files that nobody asks for are compared in the background.
        wait_until(lambda: len(named(http)) == len(expected))
        found = named(http)
        assert all(words in found[entry] for entry, words in expected.items() if entry.startswith("broken"))
        for words in expected.values():
            assert any(words in reason or words in entry for entry, reason in found.items()), words
        ready = http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert ready.json()["n_damaged"] == len(found)
        assert {one["entry"] for one in ready.json()["damaged"]} <= found.keys()
        assert f"outfielder_damaged_entries {float(len(found))}" in http.get("/metrics").text
        for number in (1, len(OF_VERSIONS) + 1):
            answer = http.post("/forecast", json={"model": "broken", "version": number, "series": [1, 2, 3]})
            assert_problem(answer, 503, "version_damaged")
        assert http.get("/leaderboard").status_code == 200
        time.sleep(1)
        logged = [record.getMessage() for record in caplog.records if "in the model store" in record.getMessage()]
        assert len(logged) == len(set(logged)) == len(expected)


def test_damage_put_in_live_freezes_nothing(http: httpx.Client, root: Path, pattern: Path) -> None:
    assert count_served(http) == N_GOOD
    change(gate="x")(add_copy(root, pattern, "good-0", 2))
    put("aliases.json", '{"champion": [1]}')(root / "good-1")
    wait_until(lambda: named(http).keys() == {"good-0/2", "good-1/aliases.json"})
    # Others are looked at as before.
    add_copy(root, pattern, "good-2", 2)
    put("aliases.json", '{"champion": 1}')(root / "good-3")
    wait_until(lambda: http.get("/models/good-2").json()["versions"] == [1, 2])
    wait_until(lambda: http.get("/models/good-3").json()["aliases"] == {"champion": 1})
    assert count_served(http) == N_GOOD
    assert_problem(http.get("/models/good-0/versions/2"), 503, "version_damaged")
    assert_problem(http.get("/models/good-1/versions/champion"), 503, "version_damaged")
    assert http.get("/readyz").status_code == 200
    # Both are mended by what a client can do.
    assert http.put("/models/good-1/aliases/champion", json={"version": 1}).status_code == 200
    assert http.delete("/models/good-0/versions/2").status_code == 204
    assert "damaged" not in http.get("/models").json()


def test_a_damaged_version_says_why_and_is_served_once_it_is_restored(http: httpx.Client, root: Path) -> None:
    graph = root / "good-7" / "1" / GRAPH
    content = graph.read_bytes()
    flip(GRAPH)(graph.parent)
    ask = {"model": "good-7", "series": [1, 2, 3]}
    for _ in range(3):
        assert "not what was published" in json.dumps(
            assert_problem(http.post("/forecast", json=ask), 503, "version_damaged")
        )
    graph.write_bytes(content)
    assert http.post("/forecast", json=ask).status_code == 200
    assert "damaged" not in http.get("/models").json()


def test_while_the_current_version_is_damaged_the_one_before_serves(tmp_path: Path, pattern: Path) -> None:
    root = tmp_path / "store"
    for version in (1, 2, 3):
        add_copy(root, pattern, "demand", version)
    flip(GRAPH)(root / "demand" / "3")
    flip(GRAPH)(root / "demand" / "2")
    with client(root, tmp_path / "state") as http:
        body = {"model": "demand", "series": [1, 2, 3]}
        assert http.post("/forecast", json=body).json()["version"] == 1
        assert http.post("/forecast", json={"series": [1, 2, 3]}).json()["version"] == 1
        assert_problem(http.post("/forecast", json={**body, "version": 3}), 503, "version_damaged")
        flip(GRAPH)(root / "demand" / "3")
        wait_until(lambda: http.post("/forecast", json=body).json()["version"] == 3)
