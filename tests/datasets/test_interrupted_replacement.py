"""Where a file system can't exchange folders, a process that dies while it replaces an upload loses neither content."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.datasets.repair import check_datasets
from service.datasets.store import DatasetStore
from service.domain.panel import Panel
from service.errors import DatasetNotFound
from service.storage.finding import Repair


def panel(first: float = 0.0) -> Panel:
    return Panel(("a",), (np.arange(30, dtype=np.float64) + first,), (None,), None)


class Killed(BaseException):
    pass


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetStore:
    """On a file system that renames one folder at a time."""
    monkeypatch.setattr("service.storage.exchange._exchange_at_once", lambda *_: False)
    return DatasetStore(tmp_path)


def replace_and_die(store: DatasetStore, dataset_id: str, new: Panel, n_renames: int) -> None:
    """Replaces a data set in a process that is killed after so many of the three renames of an exchange."""
    rename, n_done = Path.rename, 0

    def rename_or_die(path: Path, target: Path) -> Path:
        nonlocal n_done
        if n_done == n_renames:
            raise Killed
        n_done += 1
        return rename(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", rename_or_die)
        # What is killed cleans nothing up.
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            store.add_in_place_of(dataset_id, new)


def mend(store: DatasetStore) -> None:
    repair = Repair(mends=True, older_than_seconds=0.0)
    check_datasets(store, repair)
    assert [finding.remedy for finding in repair.findings if finding.remedy == "puts it back"]
    repair = Repair()
    check_datasets(store, repair)
    assert repair.findings == []


@pytest.mark.parametrize("n_renames", [1, 2])
@pytest.mark.parametrize(
    "look",
    [
        lambda store, dataset_id: store.get(dataset_id),
        lambda store, dataset_id: store.load(dataset_id),
        lambda store, dataset_id: store.expire(2 * 86_400),
        lambda store, dataset_id: mend(store),
        lambda store, dataset_id: store.add_in_place_of(dataset_id, panel(9)),
    ],
    ids=["get", "load", "expire", "check", "replace"],
)
def test_what_was_aside_is_back_after_the_next_look(
    n_renames: int, look: Callable[[DatasetStore, str], object], store: DatasetStore
) -> None:
    kept = store.add(panel())
    replace_and_die(store, kept.id, panel(7), n_renames)
    # A day later.
    for path in (store.root / ".staging").iterdir():
        os.utime(path, (time.time() - 86_400,) * 2)
    again = DatasetStore(store.root)
    look(again, kept.id)
    replaced = again.add_in_place_of(kept.id, panel(8))
    assert again.page()[0] == [replaced]
    assert again.load(kept.id).digest() == panel(8).digest()
    assert again.load(kept.id, digest=panel().digest()).digest() == panel().digest()


def test_what_was_aside_can_be_deleted_for_good(store: DatasetStore) -> None:
    kept = store.add(panel())
    replace_and_die(store, kept.id, panel(7), 1)
    store.delete(kept.id)
    store.expire(86_400)
    with pytest.raises(DatasetNotFound):
        store.get(kept.id)
