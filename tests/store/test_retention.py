"""The last versions of a model are kept, and what somebody still names."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.store.catalog import Catalog
from service.store.model_store import FolderStore, ModelStore
from service.store.retention import keep_last
from service.store.shared_store import SharedStore
from tests.store.test_store import add_version, make_manifest


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    return SharedStore(request.getfixturevalue("s3_url"), tmp_path / "copy")


def publish(store: ModelStore, job_id: str | None, **fields: Any) -> int:
    folder = store.staging(f"staged-{job_id}")
    (folder / "saved_model.pb").write_bytes(b"graph")
    return store.publish(folder, make_manifest(job_id=job_id, **fields)).version


def test_the_oldest_versions_go_and_those_with_a_name_stay(store: ModelStore) -> None:
    publish(store, None)
    for i in range(6):
        publish(store, f"job-{i}")
    catalog = store.catalog()
    catalog.set_alias("demo", "stable", 3)
    assert keep_last(catalog, "demo", 2) == [2, 4, 5]
    assert [manifest.version for manifest in catalog.model("demo").versions] == [1, 3, 6, 7]
    assert keep_last(catalog, "demo", 2) == []
    assert publish(store, "job-8") == 8
    assert keep_last(catalog, "demo", 1, published=7) == [6]
    assert keep_last(catalog, "absent", 1) == []


def test_what_requests_get_stays_though_it_is_old(store: ModelStore) -> None:
    publish(store, "job-1", gate={"passed": True})
    for i in range(2, 5):
        publish(store, f"job-{i}", gate={"passed": False, "reason": "worse"})
    assert keep_last(store.catalog(), "demo", 1) == [2, 3]
    catalog = store.catalog()
    catalog.refresh()
    assert catalog.resolve("demo").version == 1


def test_a_damaged_version_is_left_for_a_person_to_see(tmp_path: Path) -> None:
    for _ in range(3):
        add_version(tmp_path)
    (tmp_path / "demo" / "1" / "manifest.json").write_text("")
    catalog = Catalog(tmp_path)
    assert keep_last(catalog, "demo", 1) == [2]
    assert [damage.entry for damage in catalog.damaged] == ["demo/1"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(n_versions=st.integers(1, 8), n_kept=st.integers(1, 8), aliased=st.sets(st.integers(1, 8)))
def test_whatever_is_kept_holds_the_newest_and_all_with_aliases(
    n_versions: int, n_kept: int, aliased: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("store")
    for _ in range(n_versions):
        add_version(root)
    catalog = Catalog(root)
    named = {number for number in aliased if number <= n_versions}
    for number in named:
        catalog.set_alias("demo", f"a{number}", number)
    removed = keep_last(catalog, "demo", n_kept)
    left = {manifest.version for manifest in catalog.model("demo").versions}
    newest = set(range(max(1, n_versions - n_kept + 1), n_versions + 1))
    assert left == newest | named
    assert left.isdisjoint(removed)
    assert len(left) + len(removed) == n_versions
