"""Disks that are full, read-only or not what they should be: a 503 that says so, never a bug or the file's fault."""

import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.api.server import assert_problem, client
from tests.disks import fill, mounted
from tests.serving.models import Kind, add_version

SERIES = [float(i % 7) for i in range(60)]
CSV = {"Content-Type": "text/csv"}
TRAIN = {"architecture": "ridge", "data": {"kind": "series", "series": [SERIES] * 3}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    for _ in range(2):
        add_version(root, "m", Kind())
    return root


def assert_unavailable(response: httpx.Response, *words: str) -> None:
    document = assert_problem(response, 503, "storage_unavailable")
    assert "retry-after" in response.headers
    assert all(word in document["detail"] for word in words), document["detail"]


def writes_of_datasets(http: httpx.Client) -> list[httpx.Response]:
    return [
        http.post("/datasets", content="y\n1\n2\n", headers=CSV),
        http.post("/datasets", content="y\n" + "1\n" * 100_000, headers=CSV),
        http.post("/datasets", json={"series": SERIES}),
        http.post("/train", json=TRAIN),
    ]


def writes_of_models(http: httpx.Client) -> list[httpx.Response]:
    return [
        http.put("/models/m/aliases/champion", json={"version": 1}),
        http.put("/models/default", json={"name": "m"}),
    ]


def test_uploads_on_a_full_disk_are_not_at_fault_and_go_on_when_it_is_freed(store: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "2m") as disk, client(store, tmp_path / "state") as http:
        shutil.rmtree(tmp_path / "state" / "datasets", ignore_errors=True)
        (tmp_path / "state" / "datasets").symlink_to(disk)
        dataset = http.post("/datasets", content="y\n1\n2\n", headers=CSV).json()
        ballast = fill(disk)
        for response in writes_of_datasets(http):
            assert_unavailable(response, "folder of uploads", "is full")
        # What is there is read as before, and may go.
        assert http.get(f"/datasets/{dataset['id']}").status_code == 200
        assert http.post("/forecast", json={"model": "m", "dataset": dataset["id"]}).status_code == 200
        assert "outfielder_uploads_bytes" in http.get("/metrics").text
        assert http.delete(f"/datasets/{dataset['id']}").status_code == 204
        ballast.unlink()
        assert [response.status_code for response in writes_of_datasets(http)] == [201, 201, 201, 202]
        assert [path.name for path in (disk / ".staging").iterdir()] == []


def test_a_full_store_is_said_so(store: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "4m") as disk:
        shutil.copytree(store, disk / "store")
        with client(disk / "store", tmp_path / "state") as http:
            fill(disk)
            for response in writes_of_models(http):
                assert_unavailable(response, "model store", "is full")
            assert http.post("/forecast", json={"model": "m", "series": [1, 2, 3]}).status_code == 200
            # Nothing is left of what could not be written.
            names = {path.name for path in (disk / "store" / "m").iterdir()}
            assert names <= {"1", "2", "last_version.json", ".lock"}


def test_a_read_only_disk_is_said_so_and_serves(store: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "4m") as disk:
        shutil.copytree(store, disk / "store")
        (disk / "datasets").mkdir()
        with client(disk / "store", tmp_path / "state") as http:
            shutil.rmtree(tmp_path / "state" / "datasets", ignore_errors=True)
            (tmp_path / "state" / "datasets").symlink_to(disk / "datasets")
            dataset = http.post("/datasets", json={"series": SERIES}).json()
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            for response in writes_of_models(http):
                assert_unavailable(response, "model store", "read-only")
            assert_unavailable(http.delete("/models/m/versions/1"), "model store", "read-only")
            for response in writes_of_datasets(http):
                assert_unavailable(response, "folder of uploads", "read-only")
            assert_unavailable(http.delete(f"/datasets/{dataset['id']}"), "read-only")
            assert http.post("/forecast", json={"model": "m", "series": [1, 2, 3]}).status_code == 200
            assert http.post("/forecast", json={"model": "m", "dataset": dataset["id"]}).status_code == 200
            assert http.get("/readyz").status_code == 200


def test_something_else_in_the_place_of_a_folder_is_the_servers_fault(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    with client(tmp_path / "store", tmp_path / "state") as http:
        for folder in (tmp_path / "store" / "m", tmp_path / "store"):
            (folder / ".lock").unlink(missing_ok=True)
            (folder / ".lock").mkdir()
        for response in writes_of_models(http):
            assert_unavailable(response, "model store")
        assert_unavailable(http.delete("/models/m/versions/1"), "model store")
        shutil.rmtree(tmp_path / "state" / "datasets", ignore_errors=True)
        (tmp_path / "state" / "datasets").write_text("a file where the folder should be")
        for response in writes_of_datasets(http):
            assert_unavailable(response, "folder of uploads")
        assert http.get("/metrics").status_code == 200


def test_uploads_beyond_what_all_may_take_are_refused_with_what_to_delete(store: Path, tmp_path: Path) -> None:
    with client(store, tmp_path / "state", uploads_quota_bytes=100_000) as http:
        ids = []
        while (response := http.post("/datasets", json={"series": SERIES * 50})).status_code == 201:
            ids.append(response.json()["id"])
            assert len(ids) < 10
        assert len(ids) == 3
        assert any(one in assert_problem(response, 507, "uploads_full")["detail"] for one in ids)
        assert_problem(http.post("/datasets", content="y\n" + "1\n" * 20_000, headers=CSV), 507, "uploads_full")
        train = {**TRAIN, "data": {"kind": "series", "series": [SERIES * 20] * 3}}
        assert_problem(http.post("/train", json=train), 507, "uploads_full")
        text = http.get("/metrics").text
        assert "outfielder_uploads_limit_bytes 100000.0" in text
        (line,) = [line for line in text.splitlines() if line.startswith("outfielder_uploads_bytes ")]
        files = [path for path in (tmp_path / "state" / "datasets").rglob("*") if path.is_file()]
        assert float(line.split()[1]) == sum(path.stat().st_size for path in files)
        assert http.delete(f"/datasets/{ids[0]}").status_code == 204
        assert http.post("/datasets", content="y\n" + "1\n" * 2000, headers=CSV).status_code == 201
