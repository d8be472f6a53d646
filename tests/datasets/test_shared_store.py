"""Uploads that many machines share: what one keeps, replaces or deletes, all see."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from service.datasets import shared_store
from service.datasets.dataset_ids import name_inline
from service.datasets.panel_files import write_panel
from service.datasets.quota import Quota
from service.datasets.shared_store import SharedDatasets, open_datasets
from service.datasets.store import DatasetStore
from service.domain.panel import Panel
from service.errors import (
    DatasetDamaged,
    DatasetNotFound,
    IdempotencyKeyReused,
    PreconditionFailed,
    StorageUnavailable,
    UploadsFull,
)
from service.storage.object_storage import ObjectStorage
from service.worker import CopyExpiry
from tests.s3 import S3


def panel(first: float = 0.0, n_points: int = 40) -> Panel:
    values = (np.arange(n_points, dtype=np.float64) + first, np.array([1.5, np.nan, 2.5, 4.0]))
    return Panel(("a", "b"), values, (None, None), None)


def same(one: Panel, other: Panel) -> bool:
    return one.digest() == other.digest()


def make(url: str, folder: Path, quota: int | None = None) -> SharedDatasets:
    made = open_datasets(url, folder, quota)
    assert isinstance(made, SharedDatasets)
    return made


def data_of(url: str) -> list[str]:
    return [facts.key for facts in ObjectStorage(url).list_objects(".uploads/data")]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def soon() -> None:
    """A copy that was compared a moment ago is not compared again."""
    time.sleep(1.05)


def replace(store: DatasetStore, dataset_id: str, new: Panel, **given: object) -> None:
    store.add_in_place_of(dataset_id, new, **given)  # type: ignore[arg-type]


def test_an_upload_is_seen_by_every_machine(one: SharedDatasets, two: SharedDatasets) -> None:
    kept = one.add(panel())
    assert two.get(kept.id) == kept
    assert same(two.load(kept.id), panel())
    assert two.outline(kept.id).lengths == (40, 4)
    assert two.page()[0] == one.page()[0] == [kept]
    two.delete(kept.id)
    soon()
    for store in (one, two):
        with pytest.raises(DatasetNotFound):
            store.get(kept.id)
        with pytest.raises(DatasetNotFound):
            store.load(kept.id)
        assert store.page() == ([], None)


def test_pages_are_in_order_and_go_on(one: SharedDatasets, two: SharedDatasets) -> None:
    kept = [one.add(panel(i)).id for i in range(5)]
    first, cursor = two.page(limit=3)
    assert [dataset.id for dataset in first] == kept[:1:-1]
    second, end = two.page(limit=3, cursor=cursor)
    assert [dataset.id for dataset in second] == kept[1::-1]
    assert end is None


def test_series_of_a_job_are_read_by_a_worker_elsewhere_and_never_listed(
    one: SharedDatasets, two: SharedDatasets
) -> None:
    panel_id = one.keep(panel())
    assert panel_id == name_inline(panel().digest())
    assert two.keep(panel()) == panel_id
    assert two.has(panel_id)
    assert same(two.load(panel_id), panel())
    assert two.page() == ([], None)
    with pytest.raises(DatasetNotFound):
        two.get(panel_id)
    one.delete(panel_id)
    assert not two.has(panel_id)
    assert two.keep(panel()) == panel_id
    assert same(one.load(panel_id), panel())


def test_a_key_keeps_an_upload_once_on_all_machines(one: SharedDatasets, two: SharedDatasets, s3_url: str) -> None:
    kept = one.add(panel(), key="monday")
    assert two.add(panel(), key="monday") == kept
    with pytest.raises(IdempotencyKeyReused):
        two.add(panel(1), key="monday")
    assert len({key.split("/")[3] for key in data_of(s3_url)}) == 1


def test_a_replaced_upload_is_replaced_everywhere(one: SharedDatasets, two: SharedDatasets, s3_url: str) -> None:
    kept = one.add(panel())
    assert same(two.load(kept.id), panel())
    replace(one, kept.id, panel(7))
    soon()
    assert same(two.load(kept.id), panel(7))
    assert two.get(kept.id) == one.get(kept.id)
    assert two.get(kept.id).created_at == kept.created_at
    # Jobs that were submitted before read what it was, wherever they run.
    assert same(two.load(kept.id, digest=panel().digest()), panel())
    with pytest.raises(PreconditionFailed):
        replace(two, kept.id, panel(8), tags=[kept.tag])
    replace(two, kept.id, panel(8), tags=[two.get(kept.id).tag], key="once")
    replace(two, kept.id, panel(8), key="once")
    soon()
    assert same(one.load(kept.id), panel(8))
    generations = {key.split("/")[3] for key in data_of(s3_url) if f"/{kept.id}/" in key}
    assert len(generations) == 1


def test_a_flipped_byte_in_a_copy_is_mended(one: SharedDatasets, two: SharedDatasets) -> None:
    kept = one.add(panel())
    two.load(kept.id)
    for file in (two.root / kept.id).iterdir():
        flip(file)
        fresh = SharedDatasets(two.uploads, two.root)
        assert same(fresh.load(kept.id), panel())


def test_a_flipped_byte_in_the_object_store_is_refused(
    s3_url: str, one: SharedDatasets, two: SharedDatasets, tmp_path: Path
) -> None:
    kept = one.add(panel())
    storage = ObjectStorage(s3_url)
    for key in data_of(s3_url):
        original = storage.get(key)
        storage.put(key, original[:-1] + bytes([original[-1] ^ 1]))
        with pytest.raises(DatasetDamaged, match="Delete it and upload it again"):
            two.load(kept.id)
        storage.put(key, original)
    assert same(two.load(kept.id), panel())
    storage.put(f".uploads/facts/{kept.id}.json", b"{}")
    other = make(s3_url, tmp_path / "three")
    with pytest.raises(DatasetDamaged):
        other.load(kept.id)
    assert other.page() == ([], None)
    other.delete(kept.id)
    assert data_of(s3_url) == []


def test_an_outage_leaves_copies_readable_and_the_rest_refused(
    s3: S3, one: SharedDatasets, two: SharedDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, elsewhere = one.add(panel()), two.add(panel(3))
    soon()
    s3.fail("500")
    assert same(one.load(kept.id), panel())
    soon()
    assert one._failed_at > 0
    with monkeypatch.context() as patched:
        # On a slow machine the moment for which it is known that the store is away might be over.
        patched.setattr(shared_store, "AWAY_SECONDS", 3600.0)
        before = s3.count_requests()
        assert one.get(kept.id) == kept
        assert same(one.load(kept.id), panel())
        assert s3.count_requests() == before
    refused: list[Callable[[], object]] = [
        lambda: one.load(elsewhere.id),
        lambda: one.add(panel(5)),
        lambda: one.delete(kept.id),
        one.page,
    ]
    for call in refused:
        with pytest.raises(StorageUnavailable, match="HTTP 500"):
            call()
    assert list((one.root / ".staging").iterdir()) == []
    s3.fail("")
    assert same(one.load(elsewhere.id), panel(3))
    assert {dataset.id for dataset in one.page()[0]} == {kept.id, elsewhere.id}


def test_a_worker_waits_for_an_outage_to_end(s3: S3, s3_url: str, one: SharedDatasets, tmp_path: Path) -> None:
    kept = one.add(panel())
    worker = open_datasets(s3_url, tmp_path / "worker", patience_seconds=60)
    s3.fail("500")
    threading.Timer(4.0, lambda: s3.fail("")).start()
    assert same(worker.load(kept.id), panel())


def test_what_nobody_uses_expires_for_all(one: SharedDatasets, two: SharedDatasets, s3_url: str) -> None:
    kept = [one.add(panel(i)).id for i in range(2)]
    two.load(kept[0])
    one.expire(3600)
    assert len(two.page()[0]) == 2
    time.sleep(1.1)
    two.expire(1.0)
    assert two.page() == ([], None)
    assert [facts.key for facts in ObjectStorage(s3_url).list_objects()] == []


def test_the_quota_counts_what_all_machines_keep(s3_url: str, tmp_path: Path) -> None:
    one, two = (make(s3_url, tmp_path / name, 60_000) for name in ("one", "two"))
    kept = one.add(panel(n_points=5000))
    with pytest.raises(UploadsFull, match=kept.id):
        two.add(panel(n_points=5000))
    assert two.quota.measure().total > 40_000
    two.delete(kept.id)
    assert two.quota.measure().total == 0
    two.add(panel(n_points=5000))


def test_what_is_in_progress_or_half_uploaded_is_never_seen(
    s3_url: str, one: SharedDatasets, two: SharedDatasets
) -> None:
    write_panel(one.scratch(), panel(), ())
    ObjectStorage(s3_url).put(f".uploads/data/{'0' * 32}/{'1' * 32}/values.npz", b"half")
    assert two.page() == ([], None)
    with pytest.raises(DatasetNotFound):
        two.load("0" * 32)


def test_where_models_lie_in_a_folder_uploads_do_too(tmp_path: Path) -> None:
    assert type(open_datasets(tmp_path, tmp_path / "datasets")) is DatasetStore


@pytest.mark.parametrize(
    "change", [{"files": {"../../escaped": "0" * 64}}, {"files": {"/etc/passwd": "0" * 64}}, {"generation": "../.."}]
)
def test_facts_that_would_lead_out_of_the_folder_are_damage(
    change: dict[str, object], s3_url: str, one: SharedDatasets, two: SharedDatasets
) -> None:
    kept = one.add(panel())
    storage = ObjectStorage(s3_url)
    key = f".uploads/facts/{kept.id}.json"
    storage.put(key, orjson.dumps({**orjson.loads(storage.get(key)), **change}))
    with pytest.raises(DatasetDamaged):
        two.load(kept.id)
    assert two.damaged == [kept.id]


def test_what_interrupted_uploads_left_goes_after_a_day(s3_url: str, one: SharedDatasets) -> None:
    kept = one.add(panel())
    storage = ObjectStorage(s3_url)
    before = data_of(s3_url)
    storage.put(f".uploads/data/{'0' * 32}/{'1' * 32}/values.npz", b"half")
    one.expire(3600)
    assert len(data_of(s3_url)) == len(before) + 1
    one.uploads.remove_orphans(-60)
    assert data_of(s3_url) == before
    assert same(one.load(kept.id), panel())


def test_an_upload_that_could_not_be_stored_leaves_no_objects(
    s3: S3, s3_url: str, one: SharedDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, n_uploaded = one.uploads.storage.upload, 0

    def upload_one_and_fail(path: Path, key: str) -> None:
        nonlocal n_uploaded
        s3.fail("500" if n_uploaded else "")
        n_uploaded += 1
        try:
            upload(path, key)
        finally:
            s3.fail("")

    monkeypatch.setattr(one.uploads.storage, "upload", upload_one_and_fail)
    with pytest.raises(StorageUnavailable, match="HTTP 500"):
        one.add(panel())
    assert n_uploaded == 2
    assert data_of(s3_url) == []
    assert one.quota.measure().total == 0


def test_marks_of_uploads_that_are_gone_go_after_a_day(s3_url: str, one: SharedDatasets) -> None:
    kept = one.add(panel())
    one.load(kept.id)
    storage = ObjectStorage(s3_url)
    storage.put(f".uploads/used/{'0' * 32}", b"")
    one.expire(3600)
    assert len(storage.list_objects(".uploads/used")) == 2
    one.uploads.remove_orphans(-60)
    assert [facts.key for facts in storage.list_objects(".uploads/used")] == [f".uploads/used/{kept.id}"]


@pytest.mark.parametrize(
    "change",
    [
        {"facts": {}},
        {"facts": []},
        {"facts": "text"},
        {"facts": {"id": "0" * 32}},
        {"files": ["values.npz"]},
        {"files": {"values.npz": 3}},
        {"made_ns": "yesterday"},
        {"made_ns": -1},
        {"made_ns": 10**30},
        {"generation": 7},
        {"n_bytes": None},
    ],
)
def test_one_wrong_facts_object_is_told_and_the_others_are_listed(
    change: dict[str, object], s3_url: str, one: SharedDatasets, two: SharedDatasets
) -> None:
    wrong, sound = one.add(panel()), one.add(panel(1))
    storage = ObjectStorage(s3_url)
    key = f".uploads/facts/{wrong.id}.json"
    content = json.dumps({**orjson.loads(storage.get(key)), **change})
    storage.put(key, content.encode())
    assert two.page()[0] == [sound]
    for call in (two.get, two.load):
        with pytest.raises(DatasetDamaged):
            call(wrong.id)
    two.delete(wrong.id)
    assert two.page()[0] == [sound]


@pytest.mark.parametrize(
    ("field", "value"), [("created_at", 3), ("n_series", "2"), ("audit", [{"code": "x"}]), ("audit", [3]), ("freq", [])]
)
def test_a_wrong_field_of_an_upload_is_damage(
    field: str, value: object, s3_url: str, one: SharedDatasets, two: SharedDatasets
) -> None:
    wrong = one.add(panel())
    storage = ObjectStorage(s3_url)
    key = f".uploads/facts/{wrong.id}.json"
    record = orjson.loads(storage.get(key))
    record["facts"][field] = value
    storage.put(key, orjson.dumps(record))
    assert two.page() == ([], None)
    with pytest.raises(DatasetDamaged):
        two.get(wrong.id)


def test_what_a_later_release_adds_to_facts_is_left_out(s3_url: str, one: SharedDatasets, two: SharedDatasets) -> None:
    kept = one.add(panel())
    storage = ObjectStorage(s3_url)
    key = f".uploads/facts/{kept.id}.json"
    record = orjson.loads(storage.get(key))
    storage.put(key, orjson.dumps({**record, "new": 1, "facts": {**record["facts"], "newer": [2]}}))
    assert two.get(kept.id) == kept
    assert two.page()[0] == [kept]
    assert same(two.load(kept.id), panel())


def test_a_file_that_was_read_where_little_lies_counts_with_what_lies_elsewhere(s3_url: str, tmp_path: Path) -> None:
    one, two = (make(s3_url, tmp_path / name, 60_000) for name in ("one", "two"))
    kept = one.add(panel(n_points=5000))
    small = two.add(panel())
    scratch = two.scratch()
    # As the reader of files does, which sees this machine alone.
    write_panel(scratch, panel(1, n_points=5000), (), Quota(two.root, 60_000))
    for keep in (two.adopt, lambda scratch: two.replace(small.id, scratch)):
        with pytest.raises(UploadsFull, match=kept.id):
            keep(scratch)
    assert two.get(small.id) == small
    one.delete(kept.id)
    two.quota.forget()
    assert same(two.load(two.adopt(scratch).id), panel(1, n_points=5000))
    assert not any(key.endswith("reserved") for key in data_of(s3_url))


def test_a_worker_removes_its_machines_old_copies_and_no_upload(
    s3_url: str, one: SharedDatasets, two: SharedDatasets, tmp_path: Path
) -> None:
    old, young = one.add(panel()), one.add(panel(1))
    for dataset in (old, young):
        two.load(dataset.id)
    two_days_ago = time.time() - 2 * 86_400
    os.utime(two.root / old.id, (two_days_ago, two_days_ago))
    expiry = CopyExpiry(two, days=1)
    expiry.run()
    assert not (two.root / old.id).exists()
    assert (two.root / young.id).exists()
    assert len(one.page()[0]) == 2
    soon()
    assert same(two.load(old.id), panel())
    # Every hour is enough.
    os.utime(two.root / old.id, (two_days_ago, two_days_ago))
    expiry.run()
    assert (two.root / old.id).exists()
    # In a folder that is no copy nothing goes.
    folder = DatasetStore(tmp_path / "folder")
    kept = folder.add(panel())
    os.utime(folder.root / kept.id, (two_days_ago, two_days_ago))
    CopyExpiry(folder, days=1).run()
    assert folder.has(kept.id)
