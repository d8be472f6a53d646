"""Room for uploads: for all together, also while many come at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.datasets.quota import STAGING, Quota, format_bytes
from service.datasets.store import DatasetStore
from service.domain.panel import Panel
from service.errors import UploadsFull


def make_panel(n_points: int, seed: int = 0) -> Panel:
    return Panel(("a",), (np.random.default_rng(seed).random(n_points),), (None,), None)


def used(store: DatasetStore) -> int:
    return store.quota.measure().total


def on_disk(store: DatasetStore) -> int:
    return sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())


def test_what_is_kept_counts_until_it_is_deleted(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path / "datasets", 100_000)
    assert used(store) == 0
    ids = [store.add(make_panel(5000, seed)).id for seed in (1, 2)]
    assert 80_000 < used(store) == on_disk(store) < 100_000
    with pytest.raises(UploadsFull) as caught:
        store.add(make_panel(5000))
    with pytest.raises(UploadsFull):
        store.keep(make_panel(5000))
    # What to delete, and what the limit is called.
    assert all(one in caught.value.message for one in (*ids, "DELETE", "OUTFIELDER_UPLOADS_QUOTA_BYTES", "97.66 KiB"))
    assert list((store.root / STAGING).iterdir()) == []
    store.delete(ids[0])
    store.keep(make_panel(5000))
    # What is there already needs no room.
    assert store.keep(make_panel(5000))
    assert used(store) == on_disk(store)


def test_uploads_that_come_at_once_take_no_more_than_all_may(tmp_path: Path) -> None:
    def add(seed: int) -> bool:
        # Each has a store of its own, as processes have.
        try:
            DatasetStore(tmp_path / "datasets", 500_000).add(make_panel(5000, seed))
        except UploadsFull:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        kept = sum(pool.map(add, range(40)))
    store = DatasetStore(tmp_path / "datasets", 500_000)
    # Whoever came while others were in the middle may have been refused for the sake of their frame.
    assert 11 <= kept <= 12
    assert used(store) == on_disk(store) <= 500_000


def test_what_is_in_progress_counts_for_what_it_may_come_to(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path / "datasets", 1000)
    one, other = store.scratch(), store.scratch()
    assert store.quota.reserve(one, 100, wish=300) == 300
    assert store.quota.reserve(other, 100, wish=5000) == 700
    with pytest.raises(UploadsFull):
        store.quota.reserve(one, 301)
    assert store.quota.reserve(other, 150) == 150
    assert store.quota.reserve(one, 850) == 850
    with pytest.raises(UploadsFull, match="no upload to delete"):
        store.quota.reserve(store.scratch(), 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 700), st.integers(0, 700)), max_size=20))
def test_what_is_given_out_is_never_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, int, int]]
) -> None:
    store = DatasetStore(tmp_path_factory.mktemp("datasets"), 1000)
    folders = [store.scratch() for _ in range(4)]
    held = dict.fromkeys(range(4), 0)
    for index, n_bytes, wish in asked:
        free = 1000 - sum(held.values()) + held[index]
        try:
            granted = Quota(store.root, 1000).reserve(folders[index], n_bytes, wish)
        except UploadsFull:
            assert n_bytes > free
        else:
            assert n_bytes <= granted <= max(n_bytes, wish)
            held[index] = granted
        assert used(store) == sum(held.values()) <= 1000


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (10 * 2**30, "10 GiB")]
)
def test_bytes_are_told_in_units(n_bytes: int, text: str) -> None:
    assert format_bytes(n_bytes) == text
