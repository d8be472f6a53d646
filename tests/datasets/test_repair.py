"""`check-store --repair` on uploads: nothing is lost, what is damaged is set aside or uploaded again."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from service.datasets.repair import check_datasets
from service.datasets.shared_store import SharedDatasets, open_datasets
from service.datasets.store import DatasetStore
from service.domain.panel import Panel
from service.errors import DatasetNotFound
from service.storage.finding import Finding, Repair
from service.storage.object_storage import ObjectStorage

DAY_SECONDS = 86_400


def panel(first: float = 0.0) -> Panel:
    return Panel(("a",), (np.arange(30, dtype=np.float64) + first,), (None,), None)


def check(store: DatasetStore, *, mends: bool = False, older_than_seconds: float = DAY_SECONDS) -> list[Finding]:
    repair = Repair(mends=mends, older_than_seconds=older_than_seconds)
    check_datasets(store, repair)
    return repair.findings


def test_a_damaged_upload_is_set_aside_and_the_others_stay(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path / "datasets")
    kept, damaged = store.add(panel()), store.add(panel(1))
    panel_id = store.keep(panel(2))
    assert check(store) == []
    # The numbers' archive is damaged in one, and the facts of the other are gone.
    values = max((store.root / damaged.id).iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(values.read_bytes())
    content[len(content) // 2] ^= 1
    values.write_bytes(content)
    (found,) = check(store)
    assert (found.entry, found.is_mended) == (f"upload {damaged.id}", False)
    (found,) = check(store, mends=True)
    assert found.is_mended
    assert check(store) == []
    with pytest.raises(DatasetNotFound):
        store.load(damaged.id)
    assert store.load(kept.id).digest() == panel().digest()
    assert store.load(panel_id).digest() == panel(2).digest()
    (aside,) = (store.root / ".damaged").iterdir()
    assert (aside / values.name).read_bytes() == content
    store.expire(DAY_SECONDS)
    assert aside.exists()


def test_torn_uploads_go_when_they_are_old(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path / "datasets")
    torn, young = store.scratch(), store.scratch()
    (torn / "upload").write_bytes(b"half")
    then = time.time() - 2 * DAY_SECONDS
    for path in (torn / "upload", torn):
        os.utime(path, (then, then))
    assert len(check(store)) == 1
    assert [finding.is_mended for finding in check(store, mends=True)] == [True]
    assert not torn.exists()
    assert young.exists()
    assert check(store) == []


def test_objects_of_an_upload_are_uploaded_again_from_a_whole_copy(s3_url: str, tmp_path: Path) -> None:
    one, two = (open_datasets(s3_url, tmp_path / name) for name in ("one", "two"))
    kept = one.add(panel())
    storage = ObjectStorage(s3_url)
    for facts in storage.list_objects(".uploads/data"):
        original = storage.get(facts.key)
        storage.put(facts.key, b"?" + original[1:])
        (found,) = check(two, mends=True)
        assert (found.entry, found.is_mended) == (f"upload {kept.id}", False)
        assert [finding.is_mended for finding in check(one, mends=True)] == [True]
        assert storage.get(facts.key) == original
    assert check(two) == []
    assert two.load(kept.id).digest() == panel().digest()


def test_objects_that_no_upload_names_are_removed(s3_url: str, tmp_path: Path) -> None:
    store = open_datasets(s3_url, tmp_path / "one")
    assert isinstance(store, SharedDatasets)
    kept = store.add(panel())
    storage = ObjectStorage(s3_url)
    before = [facts.key for facts in storage.list_objects()]
    storage.put(f".uploads/data/{kept.id}/{'1' * 32}/values.npz", b"half")
    storage.put(f".uploads/data/{'0' * 32}/{'1' * 32}/values.npz", b"half")
    storage.put(f".uploads/used/{'0' * 32}", b"")
    assert check(store, mends=True) == []
    assert all(finding.is_mended for finding in check(store, mends=True, older_than_seconds=-60))
    assert [facts.key for facts in storage.list_objects()] == before
    assert store.load(kept.id).digest() == panel().digest()
