"""A replacement of an upload that machines share: whole, for all of them, or refused without a trace."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.datasets import dataset_folder, replacement
from service.datasets.dataset_ids import name_inline
from service.datasets.shared_store import SharedDatasets
from service.datasets.store import DatasetStore
from service.errors import DatasetDamaged, DatasetNotFound, DatasetReplaced, StorageUnavailable
from service.storage.object_storage import ObjectStorage
from tests.datasets.test_shared_store import data_of, make, panel, same, soon
from tests.s3 import S3


def before(monkeypatch: pytest.MonkeyPatch, store: SharedDatasets, method: str, act: Callable[[], object]) -> None:
    """Has something happen right before a store's next call of the object store."""
    call = getattr(store.uploads.storage, method)

    def act_and_call(*given: Any) -> Any:
        monkeypatch.setattr(store.uploads.storage, method, call)
        act()
        return call(*given)

    monkeypatch.setattr(store.uploads.storage, method, act_and_call)


@pytest.mark.parametrize("moment", ["copy", "upload", "put_if_match"])
def test_a_replacement_is_never_lost_to_a_reader_beside_it(
    moment: str, one: SharedDatasets, two: SharedDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = one.add(panel())
    beside = SharedDatasets(one.uploads, one.root)

    def read() -> None:
        assert same(beside.load(kept.id), panel())
        one._compared.clear()
        assert same(one.load(kept.id), panel())

    before(monkeypatch, one, moment, read)
    replaced = one.add_in_place_of(kept.id, panel(7))
    soon()
    for store in (one, beside, two):
        assert same(store.load(kept.id), panel(7))
        assert store.get(kept.id) == replaced
        assert same(store.load(kept.id, digest=panel().digest()), panel())


@pytest.mark.parametrize("moment", ["copy", "upload", "put_if_match"])
def test_a_replacement_that_is_refused_is_never_served(
    moment: str, s3: S3, one: SharedDatasets, two: SharedDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = one.add(panel())
    before(monkeypatch, one, moment, lambda: s3.fail("500"))
    with pytest.raises(StorageUnavailable, match="HTTP 500"):
        one.add_in_place_of(kept.id, panel(7))
    soon()
    assert same(one.load(kept.id), panel())
    s3.fail("")
    soon()
    for store in (one, two):
        assert same(store.load(kept.id), panel())
        assert store.get(kept.id) == kept
        assert same(store.load(kept.id, digest=panel().digest()), panel())


def test_of_two_replacements_at_once_one_is_told_to_come_again(
    one: SharedDatasets, two: SharedDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = one.add(panel())
    before(monkeypatch, one, "put_if_match", lambda: two.add_in_place_of(kept.id, panel(8)))
    with pytest.raises(DatasetReplaced, match="Send the request again"):
        one.add_in_place_of(kept.id, panel(7))
    soon()
    assert same(one.load(kept.id), panel(8))
    assert same(two.load(kept.id), panel(8))


@pytest.mark.parametrize("damage", ["facts", "flipped", "absent"])
def test_a_damaged_upload_can_be_replaced(
    damage: str, s3_url: str, one: SharedDatasets, two: SharedDatasets, tmp_path: Path
) -> None:
    kept = one.add(panel())
    storage = ObjectStorage(s3_url)
    values = next(key for key in data_of(s3_url) if key.endswith(".npz"))
    if damage == "facts":
        storage.put(f".uploads/facts/{kept.id}.json", b"{}")
    elif damage == "flipped":
        storage.put(values, b"something else")
    else:
        storage.delete([values])
    with pytest.raises(DatasetDamaged):
        two.load(kept.id)
    replaced = two.add_in_place_of(kept.id, panel(7))
    soon()
    assert two.damaged == []
    for store in (one, two, make(s3_url, tmp_path / "three")):
        assert same(store.load(kept.id), panel(7))
        assert store.page()[0] == [replaced]


def test_series_of_a_job_are_no_upload_to_replace(one: SharedDatasets) -> None:
    panel_id = one.keep(panel())
    with pytest.raises(DatasetNotFound):
        one.add_in_place_of(panel_id, panel(7))
    assert same(one.load(panel_id), panel())


def test_what_was_replaced_stays_for_jobs_that_are_on_their_way(
    s3_url: str, one: SharedDatasets, two: SharedDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = one.add(panel())
    one.add_in_place_of(kept.id, panel(7))
    for_jobs = one.keep(panel(9))
    one.drop_retired(math.inf)
    assert same(two.load(kept.id, digest=panel().digest()), panel())
    monkeypatch.setattr(replacement, "RETIRED_SECONDS", 1.0)
    time.sleep(2.1)
    # A job that was submitted meanwhile may read it.
    one.drop_retired(time.time() - 100)
    assert one.has(name_inline(panel().digest()))
    one.drop_retired(math.inf)
    assert not one.has(name_inline(panel().digest()))
    assert one.has(for_jobs)
    assert same(one.load(kept.id), panel(7))
    assert len({key.split("/")[2] for key in data_of(s3_url)}) == 2


def test_what_was_replaced_in_a_folder_stays_for_jobs_that_are_on_their_way(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)
    kept = store.add(panel())
    store.add_in_place_of(kept.id, panel(7))
    for_jobs = store.keep(panel(9))
    store.drop_retired(math.inf)
    assert same(store.load(kept.id, digest=panel().digest()), panel())
    two_hours_ago = time.time() - 7200
    for name in (name_inline(panel().digest()), for_jobs, kept.id):
        os.utime(tmp_path / name, (two_hours_ago, two_hours_ago))
    store.drop_retired(two_hours_ago + 60)
    assert store.has(name_inline(panel().digest()))
    store.drop_retired(math.inf)
    assert not store.has(name_inline(panel().digest()))
    assert store.has(for_jobs)
    assert same(store.load(kept.id), panel(7))


def test_a_replacement_whose_predecessor_the_disk_refuses_to_keep_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DatasetStore(tmp_path)
    kept = store.add(panel())

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset_folder, "write", refuse)
    with pytest.raises(StorageUnavailable, match="is full"):
        store.add_in_place_of(kept.id, panel(7))
    assert same(store.load(kept.id), panel())
    assert store.get(kept.id) == kept


def test_what_all_machines_have_is_no_failure_where_this_ones_disk_has_no_room_for_a_copy(
    one: SharedDatasets, two: SharedDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("service.datasets.shared_store._show", refuse)
        kept, other = one.add(panel()), one.add(panel(1))
        replaced = one.add_in_place_of(other.id, panel(7))
    for store in (one, two):
        assert store.page()[0] == [replaced, kept]
        assert same(store.load(kept.id), panel())
        assert same(store.load(other.id), panel(7))
