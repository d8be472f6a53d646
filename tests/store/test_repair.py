"""`check-store --repair`: what is wrong is mended without a loss, and said."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from service.storage.finding import Finding, Repair
from service.storage.object_storage import ObjectStorage
from service.store.catalog import Catalog
from service.store.model_store import FolderStore
from service.store.publish import staging
from service.store.shared_state import ModelState
from tests.store.machines import Machine, objects_of
from tests.store.test_store import add_version

DAY_SECONDS = 86_400


def check(store: Any, *, mends: bool = False, older_than_seconds: float = DAY_SECONDS) -> list[Finding]:
    repair = Repair(mends=mends, older_than_seconds=older_than_seconds)
    store.check(repair)
    return repair.findings


def age(path: Path) -> None:
    """Makes all in a folder two days old."""
    then = time.time() - 2 * DAY_SECONDS
    for one in [*path.rglob("*"), path]:
        os.utime(one, (then, then))


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path / "store")
    for _ in range(3):
        add_version(store.root)
    store.catalog().set_alias("demo", "champion", 3)
    store.catalog().set_alias("demo", "stable", 1)
    assert check(store) == []
    return store


def test_a_damaged_version_is_set_aside_and_the_one_before_serves(folder: FolderStore) -> None:
    (folder.root / "demo" / "3" / "saved_model.pb").write_bytes(b"grapj")
    (found,) = check(folder)
    assert (found.entry, found.model, found.version, found.is_mended) == ("demo/3", "demo", 3, False)
    assert (folder.root / "demo" / "3").exists()
    mended = check(folder, mends=True)
    assert [(finding.entry, finding.is_mended) for finding in mended] == [("demo/3", True), ("demo/aliases.json", True)]
    assert "leads 'champion' to version 3" in mended[1].message
    assert check(folder) == []
    (aside,) = (folder.root / ".damaged").glob("demo-3-*")
    assert (aside / "saved_model.pb").read_bytes() == b"grapj"
    catalog = folder.catalog()
    catalog.refresh()
    assert catalog.damaged == ()
    assert catalog.resolve("demo").version == 2
    assert catalog.model("demo").aliases == {"stable": 1}
    # Its number was given out.
    (folder.root / "demo" / "last_version.json").unlink()
    (folder.root / "demo" / "last_version.json").write_text('{"last_version": 3}')
    assert add_version(folder.root).version == 4


def test_the_number_of_what_is_set_aside_is_not_used_again_where_nobody_counted(folder: FolderStore) -> None:
    (folder.root / "demo" / "last_version.json").unlink()
    (folder.root / "demo" / "3" / "variables" / "variables.index").unlink()
    check(folder, mends=True)
    assert add_version(folder.root).version == 4


def test_small_files_are_mended_and_what_they_said_is_kept(folder: FolderStore) -> None:
    (folder.root / "demo" / "aliases.json").write_text("{champion")
    (folder.root / "demo" / "last_version.json").write_text("[]")
    (folder.root / "default.json").write_text('{"name": "gone"}')
    assert len(check(folder)) == 3
    assert all(finding.is_mended for finding in check(folder, mends=True))
    assert check(folder) == []
    kept = {path.name.rpartition("-")[0]: path.read_text() for path in (folder.root / ".damaged").iterdir()}
    assert kept == {"demo-aliases.json": "{champion", "default.json": '{"name": "gone"}'}
    assert json.loads((folder.root / "demo" / "last_version.json").read_text()) == {"last_version": 3}


def test_remains_go_when_they_are_old_and_never_before(folder: FolderStore) -> None:
    young = staging(folder.root, "job")
    (young / "saved_model.pb").write_bytes(b"x")
    (folder.root / "demo" / "4").mkdir()
    (folder.root / "demo" / "4" / "saved_model.pb").write_bytes(b"being copied")
    assert [finding.is_mended for finding in check(folder, mends=True)] == [False]
    assert young.exists()
    assert (folder.root / "demo" / "4").exists()
    (folder.root / "demo" / ".aliases.json.1.2.tmp").write_text("half")
    for path in (young, folder.root / "demo" / "4", folder.root / "demo" / ".aliases.json.1.2.tmp"):
        age(path)
    entries = [finding.entry for finding in check(folder, mends=True) if finding.is_mended]
    assert entries == ["demo/4", ".staging/job", "demo/.aliases.json.1.2.tmp"]
    assert check(folder) == []
    assert next((folder.root / ".damaged").glob("demo-4-*/saved_model.pb")).read_bytes() == b"being copied"


def test_told_that_nothing_else_runs_it_takes_young_remains(folder: FolderStore) -> None:
    staging(folder.root, "job")
    assert [finding.is_mended for finding in check(folder, mends=True, older_than_seconds=0)] == [True]
    assert check(folder, older_than_seconds=0) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_can_not_be_read_is_left_alone(folder: FolderStore) -> None:
    path = folder.root / "demo" / "3" / "saved_model.pb"
    path.chmod(0)
    (found,) = check(folder, mends=True)
    assert not found.is_mended
    path.chmod(0o600)
    assert check(folder) == []


def test_what_needs_a_person_is_said_and_left(folder: FolderStore) -> None:
    (folder.root / "no model's name!").mkdir()
    (folder.root / "demo" / "notes").mkdir()
    findings = check(folder, mends=True)
    assert {finding.entry for finding in findings} == {"no model's name!", "demo"}
    assert not any(finding.is_mended for finding in findings)


def test_damaged_objects_are_uploaded_again_from_a_whole_copy(s3_url: str, one: Machine, two: Machine) -> None:
    one.publish()
    storage = ObjectStorage(s3_url)
    assert check(one.store) == []
    for key in ("demo/1/saved_model.pb", "demo/1/manifest.json"):
        original = storage.get(key)
        storage.put(key, original[:-1] + b"?")
        (found,) = check(two.store, mends=True)
        assert (found.entry, found.is_mended) == ("demo/1", False)
        assert "this machine has no whole copy" in found.message
        (found,) = check(one.store, mends=True)
        assert found.is_mended
        assert "uploads this machine's copy" in (found.remedy or "")
        assert storage.get(key) == original
    storage.delete(["demo/1/saved_model.pb"])
    assert [finding.is_mended for finding in check(one.store, mends=True)] == [True]
    assert check(one.store) == check(two.store) == []
    assert two.numbers() == [1]


def test_a_damaged_copy_is_fetched_again(one: Machine) -> None:
    published = one.publish()
    (one.catalog.folder(published) / "saved_model.pb").write_bytes(b"?")
    assert [finding.is_mended for finding in check(one.store)] == [False]
    assert [finding.is_mended for finding in check(one.store, mends=True)] == [True]
    assert check(one.store) == []
    one.catalog.verify(published)


def test_what_interrupted_publications_and_deletions_left_is_removed(s3_url: str, one: Machine, two: Machine) -> None:
    published = one.publish()
    storage, models = ObjectStorage(s3_url), one.catalog.mirror.models

    def claim(state: ModelState, claimed_at: float) -> tuple[ModelState, int]:
        return state.claim(f"token {claimed_at}", claimed_at)

    old = models.change("demo", lambda state: claim(state, time.time() - 2 * DAY_SECONDS))
    young = models.change("demo", lambda state: claim(state, time.time()))
    storage.put(f"demo/{young}/saved_model.pb", b"coming")
    one.publish()
    models.change("demo", lambda state: (state.remove([4]), None))
    findings = check(two.store, mends=True)
    assert [(finding.entry, finding.is_mended) for finding in findings] == [(f"demo/{old}", True), ("demo/4", True)]
    assert {key.split("/")[1] for key in objects_of(s3_url) if key.startswith("demo/")} == {"1", str(young)}
    # Told that nothing else runs, it takes the young one too.
    check(two.store, mends=True, older_than_seconds=-60)
    assert check(one.store) == []
    assert one.numbers() == two.numbers() == [published.version]
    assert one.publish().version == 5


def test_objects_without_a_manifest_are_set_aside_and_others_things_left(s3_url: str, one: Machine) -> None:
    one.publish()
    storage = ObjectStorage(s3_url)
    storage.put("demo/7/saved_model.pb", b"graph")
    storage.put("reports/2024/summary.csv", b"not ours")
    assert check(one.store, mends=True) == []
    (found,) = check(one.store, mends=True, older_than_seconds=-60)
    assert (found.entry, found.is_mended) == ("demo/7", True)
    keys = objects_of(s3_url)
    assert "reports/2024/summary.csv" in keys
    assert "demo/7/saved_model.pb" not in keys
    assert any(key.startswith(".damaged/") and key.endswith("/demo/7/saved_model.pb") for key in keys)


def test_aliases_and_a_default_that_lead_nowhere_are_removed(s3_url: str, one: Machine, two: Machine) -> None:
    one.publish()
    models = one.catalog.mirror.models
    models.change("demo", lambda state: (state.point("lost", 9).point("stable", 1), None))
    models.write_default("gone")
    assert [finding.is_mended for finding in check(two.store)] == [False, False]
    assert all(finding.is_mended for finding in check(two.store, mends=True))
    assert check(two.store) == []
    assert one.look().model("demo").aliases == {"stable": 1}
    assert one.catalog.default == "demo"


def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "service.cli", "check-store", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settings})


def test_the_command_says_what_it_did_and_ends_well_when_all_is_well(folder: FolderStore, tmp_path: Path) -> None:
    settings = {"OUTFIELDER_MODELS_STORE": str(folder.root), "OUTFIELDER_STATE_DIR": str(tmp_path / "state")}
    (folder.root / "demo" / "2" / "manifest.json").write_text("{}")
    checked = run(**settings)
    assert checked.returncode == 1
    assert "demo/2: has an unusable manifest.json" in checked.stdout
    assert "--repair moves it into .damaged." in checked.stdout
    assert checked.stdout.endswith("3 versions and 0 uploads checked, 1 damaged.\n")
    mended = run("--repair", **settings)
    assert (mended.returncode, mended.stderr) == (0, "")
    assert "Mended: --repair moves it into .damaged." in mended.stdout
    assert mended.stdout.endswith("3 versions and 0 uploads checked, 1 damaged, 1 mended.\n")
    again = run("--json", **settings)
    assert again.returncode == 0
    assert json.loads(again.stdout) == {"checked": 2, "uploads": 0, "findings": []}
    assert Catalog(folder.root).root == folder.root


def test_the_command_checks_an_object_store(s3_url: str, one: Machine, tmp_path: Path) -> None:
    one.publish()
    settings = {"OUTFIELDER_MODELS_STORE": s3_url, "OUTFIELDER_STATE_DIR": str(tmp_path / "state")}
    assert run(**settings).stdout == "1 versions and 0 uploads checked, 0 damaged.\n"
    ObjectStorage(s3_url).put("demo/1/saved_model.pb", b"?")
    # The copy of this state folder is whole.
    ran = run("--repair", **settings)
    assert (ran.returncode, "Mended" in ran.stdout) == (0, True)
    ran = run(**{**settings, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert (ran.returncode, "can't be used or reached" in ran.stderr) == (1, True)
    assert "not-a-secret" not in ran.stderr
