"""The store folder: versions whole or not at all, numbers never used again, aliases, the default model."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from service.errors import (
    AliasInUse,
    InvalidRequest,
    ModelNotFound,
    NoChampion,
    StoreUnreadable,
    VersionDamaged,
    VersionNotFound,
)
from service.store.catalog import Catalog
from service.store.layout import locked
from service.store.manifest import Manifest
from service.store.publish import find_by_job, publish, staging, sweep


def make_manifest(name: str = "demo", **fields: Any) -> Manifest:
    return Manifest(
        **{
            "name": name,
            "version": 0,
            "created_at": "2026-01-01T00:00:00.000Z",
            "architecture": "lstm",
            "head": "sequence",
            "hyper_parameters": {},
            "modes": ["sequence", "vector"],
            "window": 50,
            "horizon": 10,
            "min_length": 1,
            "scaling": "standard",
            "reads_whole_series": False,
            "data": {"kind": "synthetic"},
            "seed": 42,
            "metrics": {},
            "gate": None,
            "epochs_run": 20,
            "seconds": 1.0,
            "device": "cpu",
            "library_versions": {},
            "job_id": None,
            "parameters": 1,
            **fields,
        }
    )


def add_version(root: Path, name: str = "demo", *, job_id: str | None = None, **fields: Any) -> Manifest:
    job_id = job_id or uuid.uuid4().hex
    folder = staging(root, job_id)
    (folder / "variables").mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights" * 1000)
    return publish(root, folder, make_manifest(name, job_id=job_id, **fields))


def catalog_of(root: Path) -> Catalog:
    catalog = Catalog(root)
    catalog.refresh()
    return catalog


def numbers(catalog: Catalog, name: str = "demo") -> list[int]:
    return [manifest.version for manifest in catalog.model(name).versions]


def test_a_published_version_is_listed_with_the_digest_of_each_file(tmp_path: Path) -> None:
    published = add_version(tmp_path, job_id="job")
    assert published.version == 1
    assert published.files.keys() == {"saved_model.pb", "variables/variables.index"}
    catalog = catalog_of(tmp_path)
    assert catalog.resolve("demo") == published
    catalog.verify(published)
    assert sorted(path.name for path in catalog.folder(published).iterdir()) == [
        "manifest.json",
        "saved_model.pb",
        "variables",
    ]
    assert find_by_job(tmp_path, "demo", "job") == published
    assert find_by_job(tmp_path, "demo", "other") is None
    assert find_by_job(tmp_path, "absent", "job") is None


def test_a_missing_store_is_empty_and_a_file_in_its_place_unreadable(tmp_path: Path) -> None:
    assert catalog_of(tmp_path / "absent").models() == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnreadable):
        catalog_of(tmp_path / "file")


def test_a_number_is_never_used_again(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path)
    assert [add_version(tmp_path).version for _ in range(3)] == [1, 2, 3]
    catalog.delete_version("demo", 3)
    catalog.delete_version("demo", 1)
    assert numbers(catalog) == [2]
    assert add_version(tmp_path).version == 4
    for version in (2, 4):
        catalog.delete_version("demo", version)
    assert catalog.models() == []
    assert add_version(tmp_path).version == 5
    (tmp_path / "demo" / "last_version.json").unlink()
    assert add_version(tmp_path).version == 6


def test_a_job_publishes_once_also_where_two_runs_of_it_do_so_at_once(tmp_path: Path) -> None:
    published: list[Manifest] = []

    def run(i: int) -> None:
        folder = staging(tmp_path, f"run-{i}")
        (folder / "saved_model.pb").write_bytes(b"graph %d" % i)
        published.append(publish(tmp_path, folder, make_manifest(job_id="job")))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert published == 6 * [published[0]]
    assert numbers(catalog_of(tmp_path)) == [1]
    # Of another model, or another job, it is another version.
    assert add_version(tmp_path, "other", job_id="job").version == 1
    assert add_version(tmp_path, job_id="next").version == 2


def test_what_is_not_a_version_is_passed_over(tmp_path: Path) -> None:
    good = add_version(tmp_path)
    model = tmp_path / "demo"
    (model / "2").mkdir()
    (model / "3").mkdir()
    (model / "3" / "manifest.json").write_text("{half")
    (model / "4").mkdir()
    (model / "4" / "manifest.json").write_text('{"name": "demo"}')
    shutil.copytree(model / "1", model / "5")
    shutil.copytree(model / "1", model / "007")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "other").mkdir()
    assert [entry.versions for entry in catalog_of(tmp_path).models()] == [(good,)]


def test_damage_is_found_before_a_version_is_loaded(tmp_path: Path) -> None:
    manifest = add_version(tmp_path)
    catalog = catalog_of(tmp_path)
    weights = catalog.folder(manifest) / "variables" / "variables.index"
    content = weights.read_bytes()
    weights.write_bytes(b"W" + content[1:])
    with pytest.raises(VersionDamaged, match="variables"):
        catalog.verify(manifest)
    weights.unlink()
    with pytest.raises(VersionDamaged):
        catalog.verify(manifest)


def test_an_alias_leads_to_its_version_in_every_process(tmp_path: Path) -> None:
    first, second = add_version(tmp_path), add_version(tmp_path)
    catalog, other = catalog_of(tmp_path), catalog_of(tmp_path)
    assert catalog.resolve("demo") == second
    catalog.set_alias("demo", "champion", 1)
    assert catalog.resolve("demo") == first
    assert catalog.resolve("demo", "champion") == first
    assert other.resolve("demo") == second
    other.refresh()
    assert other.resolve("demo") == first
    with pytest.raises(AliasInUse):
        catalog.delete_version("demo", 1)
    catalog.set_alias("demo", "champion", 2)
    catalog.delete_version("demo", 1)
    with pytest.raises(VersionNotFound, match=r"It has: 2, champion \(2\)"):
        catalog.resolve("demo", 1)
    with pytest.raises(VersionNotFound):
        catalog.set_alias("demo", "old", 1)


@pytest.mark.parametrize("alias", ["", "3", "../x", "a/b", "é", "a" * 101, ".hidden", "a\n"])
def test_hostile_aliases_are_refused(tmp_path: Path, alias: str) -> None:
    add_version(tmp_path)
    with pytest.raises(InvalidRequest):
        catalog_of(tmp_path).set_alias("demo", alias, 1)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a" * 101, "a\n", "a b", "\x00"])
def test_hostile_names_never_reach_the_file_system(tmp_path: Path, name: str) -> None:
    root = tmp_path / "store"
    with pytest.raises(ValueError, match="not a model's name"):
        publish(root, staging(root, "job"), make_manifest(name))
    with pytest.raises(ModelNotFound):
        catalog_of(root).resolve(name)
    with pytest.raises(ModelNotFound):
        catalog_of(root).set_default(name)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_the_default_is_what_was_set_then_lstm_then_the_oldest(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path)
    with pytest.raises(ModelNotFound, match="Train one"):
        catalog.resolve()
    add_version(tmp_path, "gru", created_at="2026-01-02T00:00:00.000Z")
    add_version(tmp_path, "zoo", created_at="2026-01-01T00:00:00.000Z")
    catalog.refresh()
    assert catalog.default == "zoo"
    add_version(tmp_path, "lstm", created_at="2026-01-03T00:00:00.000Z")
    catalog.refresh()
    assert catalog.resolve().name == "lstm"
    catalog.set_default("gru")
    assert catalog_of(tmp_path).default == "gru"
    with pytest.raises(ModelNotFound):
        catalog.set_default("absent")


def test_without_an_alias_the_newest_version_that_no_gate_rejected_is_current(tmp_path: Path) -> None:
    rejected = {"passed": False, "reason": "worse than seasonal naive"}
    add_version(tmp_path, gate=rejected)
    with pytest.raises(NoChampion):
        catalog_of(tmp_path).resolve("demo")
    assert catalog_of(tmp_path).resolve("demo", 1).gate == rejected
    add_version(tmp_path, gate={"passed": True})
    add_version(tmp_path, gate=rejected)
    assert catalog_of(tmp_path).resolve("demo").version == 2


def test_sweeping_leaves_what_a_live_job_may_have_staged(tmp_path: Path) -> None:
    os.utime(staging(tmp_path, "dead"), (0, 0))
    live = staging(tmp_path, "live")
    sweep(tmp_path)
    sweep(tmp_path / "absent")
    assert list((tmp_path / ".staging").iterdir()) == [live]


def test_staging_again_begins_empty(tmp_path: Path) -> None:
    (staging(tmp_path, "job") / "half.pb").write_bytes(b"x")
    assert list(staging(tmp_path, "job").iterdir()) == []


def publish_many(root: Path, worker: int, count: int) -> None:
    for index in range(count):
        add_version(root, job_id=f"job-{worker}-{index}")


def test_processes_that_publish_at_once_get_numbers_of_their_own(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=publish_many, args=(tmp_path, worker, 10)) for worker in range(3)]
    for process in processes:
        process.start()
    catalog = catalog_of(tmp_path)
    while any(process.is_alive() for process in processes):
        catalog.refresh()
        for entry in catalog.models():
            for manifest in entry.versions:
                catalog.verify(manifest)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert numbers(catalog_of(tmp_path)) == list(range(1, 31))


PUBLISHER = """
import sys
from pathlib import Path
from tests.store.test_store import add_version
print("ready", flush=True)
for index in range(100000):
    add_version(Path(sys.argv[1]), job_id=f"{sys.argv[2]}-{index}")
"""


def test_killing_a_publisher_leaves_whole_versions_and_spends_no_number_twice(tmp_path: Path) -> None:
    seen: dict[int, str] = {}
    for attempt in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(tmp_path), f"run{attempt}"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.013 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        catalog = catalog_of(tmp_path)
        for entry in catalog.models():
            for manifest in entry.versions:
                catalog.verify(manifest)
                assert manifest.job_id is not None
                assert seen.setdefault(manifest.version, manifest.job_id) == manifest.job_id
        newest = max(seen, default=0)
        if newest:
            catalog.delete_version("demo", newest)
            assert add_version(tmp_path, job_id=f"after{attempt}").version > newest
    assert len(seen) > 6


def test_a_manifest_survives_its_file_and_fields_of_the_future(tmp_path: Path) -> None:
    manifest = make_manifest(metrics={"validation": {"mse": 0.1}})
    assert Manifest.from_json(manifest.to_json()) == manifest
    text = json.dumps({**manifest.to_dict(), "from_the_future": 1}).encode()
    assert Manifest.from_json(text) == manifest
    for bad in (b"[]", b"{}", b"nonsense"):
        with pytest.raises(ValueError):
            Manifest.from_json(bad)


def test_a_champion_that_another_process_makes_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = add_version(tmp_path), add_version(tmp_path)
    lock, others = locked, [Catalog(tmp_path)]

    def lock_later(folder: Path, patience_seconds: float | None = None) -> contextlib.AbstractContextManager[None]:
        if others:
            others.pop().promote(second)
        return lock(folder, patience_seconds)

    monkeypatch.setattr("service.store.catalog.locked", lock_later)
    catalog = Catalog(tmp_path)
    catalog.promote(first)
    assert catalog.model(first.name).aliases == {"champion": second.version}
