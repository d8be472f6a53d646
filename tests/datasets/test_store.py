import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.datasets import panel_files
from service.datasets.dataset import Finding
from service.datasets.panel_files import FACTS, VALUES, write_panel
from service.datasets.quota import STAGING
from service.datasets.store import DatasetStore
from service.domain.panel import Panel
from service.errors import DatasetDamaged, DatasetNotFound, DatasetReplaced, InvalidRequest, StorageUnavailable
from service.storage import exchange as exchange_module

HOUR = 3600
PANEL = Panel(("a", "ü"), (np.array([1.5, np.nan, -3]), np.array([7.0])), ("2024-01-01", None), "D")
OTHER = Panel(("a",), (np.array([1.0]),), (None,), None)


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path / "state" / "datasets")


def same(one: Panel, other: Panel) -> bool:
    return one.digest() == other.digest()


def age(path: Path, seconds: float) -> None:
    """Makes a folder look as if nobody had touched it for so long."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_is_added_is_loaded_again_as_it_was(store: DatasetStore) -> None:
    finding = Finding("gaps", "a", "One.")
    dataset = store.add(PANEL, [finding])
    assert same(store.load(dataset.id), PANEL)
    assert store.get(dataset.id) == dataset
    assert (dataset.n_series, dataset.n_points, dataset.freq, dataset.audit) == (2, 4, "D", (finding,))
    assert dataset.created_at.endswith("Z")


@given(
    st.lists(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1), min_size=1),
    st.none() | st.just("MS"),
)
def test_any_panel_survives(tmp_path_factory: pytest.TempPathFactory, lists: list[list[float]], freq: str) -> None:
    store = DatasetStore(tmp_path_factory.mktemp("datasets"))
    values = tuple(np.array(one, np.float64) for one in lists)
    panel = Panel(tuple(map(str, range(len(values)))), values, (None,) * len(values), freq)
    loaded = store.load(store.add(panel).id)
    assert same(loaded, panel)
    assert all(one.dtype == np.float64 for one in loaded.values)


def test_pages_go_from_the_newest_to_the_oldest_also_while_some_are_deleted(store: DatasetStore) -> None:
    assert store.page() == ([], None)
    ids = [store.add(OTHER).id for _ in range(5)]
    for i, dataset_id in enumerate(ids):
        os.utime(store.root / dataset_id / FACTS, ns=(i, i))
    store.load(ids[0])
    first, cursor = store.page(limit=2)
    assert [one.id for one in first] == [ids[4], ids[3]]
    store.delete(ids[3])
    rest, end = store.page(limit=9, cursor=cursor)
    assert ([one.id for one in rest], end) == ([ids[2], ids[1], ids[0]], None)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/passwd", STAGING, 32 * "G", 32 * "0" + "\n", "inline-../../x", "inline-"]
)
def test_a_name_that_is_no_id_never_reaches_the_disk(store: DatasetStore, name: str) -> None:
    store.add(PANEL)
    outside = store.root.parent / "x"
    outside.mkdir()
    for act in (store.load, store.get, store.delete):
        with pytest.raises(DatasetNotFound):
            act(name)
    assert outside.exists()
    with pytest.raises(InvalidRequest):
        store.page(cursor=name)


def test_an_absent_or_deleted_data_set_is_not_found(store: DatasetStore) -> None:
    dataset = store.add(PANEL)
    store.delete(dataset.id)
    for act in (store.load, store.get, store.delete):
        with pytest.raises(DatasetNotFound, match=dataset.id):
            act(dataset.id)
    assert list((store.root / STAGING).iterdir()) == []


def test_inline_series_are_kept_once_and_never_listed(store: DatasetStore) -> None:
    panel_id = store.keep(PANEL)
    assert panel_id == store.keep(PANEL) == f"inline-{PANEL.digest()[:32]}"
    assert store.keep(OTHER) != panel_id
    assert same(store.load(panel_id), PANEL)
    assert store.page() == ([], None)
    with pytest.raises(DatasetNotFound):
        store.get(panel_id)


def test_many_threads_keep_the_same_panel(store: DatasetStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: store.keep(PANEL), range(32)))
    assert len(ids) == 1
    assert same(store.load(ids.pop()), PANEL)
    assert list((store.root / STAGING).iterdir()) == []


def test_another_process_finds_what_this_one_kept(store: DatasetStore) -> None:
    dataset = store.add(PANEL)
    code = (
        "import sys; from pathlib import Path; from service.datasets.store import DatasetStore;"
        "print(DatasetStore(Path(sys.argv[1])).load(sys.argv[2]).digest())"
    )
    output = subprocess.check_output([sys.executable, "-c", code, str(store.root), dataset.id], text=True, timeout=60)
    assert output.strip() == PANEL.digest()


def test_what_nobody_reads_expires_and_what_is_read_stays(store: DatasetStore) -> None:
    old, used = store.add(PANEL).id, store.add(PANEL).id
    old_inline, used_inline = store.keep(PANEL), store.keep(OTHER)
    for name in (old, used, old_inline, used_inline):
        age(store.root / name, 10 * HOUR)
    store.load(used)
    store.keep(OTHER)
    store.expire(5 * HOUR)
    assert {path.name for path in store.root.iterdir()} == {used, used_inline, STAGING}


def test_expiring_sweeps_what_a_crash_left_but_no_upload_in_progress(store: DatasetStore) -> None:
    left, deleted, running = store.scratch(), store.root / STAGING / "deleted-1", store.scratch()
    write_panel(left, PANEL, ())
    deleted.mkdir()
    for folder in (left, deleted):
        age(folder, 7 * HOUR)
    store.expire(30 * 24 * HOUR)
    assert list((store.root / STAGING).iterdir()) == [running]


def test_expiring_an_empty_state_folder_is_no_error(store: DatasetStore) -> None:
    store.expire(HOUR)


def test_a_failed_write_leaves_nothing(store: DatasetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageUnavailable, match="is full"):
        store.add(PANEL)
    with pytest.raises(StorageUnavailable, match="is full"):
        store.keep(PANEL)
    assert [path.name for path in store.root.iterdir()] == [STAGING]
    assert list((store.root / STAGING).iterdir()) == []


def test_a_file_that_would_run_code_is_not_read(store: DatasetStore) -> None:
    dataset = store.add(PANEL)
    objects = np.array([print], dtype=object)
    np.savez(store.root / dataset.id / VALUES, flat=objects, lengths=objects, text=objects)
    with pytest.raises(DatasetNotFound):
        store.load(dataset.id)


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x03\x04half", b"{}"])
def test_a_damaged_data_set_is_told_from_an_absent_one_and_can_be_removed(store: DatasetStore, content: bytes) -> None:
    bad, good = store.add(PANEL).id, store.add(OTHER).id
    for name in (VALUES, FACTS):
        (store.root / bad / name).write_bytes(content)
    for act in (store.load, store.get):
        with pytest.raises(DatasetDamaged, match="Delete it"):
            act(bad)
    assert [one.id for one in store.page()[0]] == [good]
    assert same(store.load(good), OTHER)
    store.delete(bad)
    with pytest.raises(DatasetNotFound, match="no data set"):
        store.get(bad)


@pytest.mark.parametrize("name", [VALUES, FACTS])
def test_nobody_waits_for_what_is_no_file(store: DatasetStore, name: str) -> None:
    dataset_id = store.add(PANEL).id
    (store.root / dataset_id / name).unlink()
    os.mkfifo(store.root / dataset_id / name)
    with pytest.raises(DatasetDamaged):
        (store.load if name == VALUES else store.get)(dataset_id)
    store.page()


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path / "datasets", 10**6)
    store.add(PANEL)
    store.keep(OTHER)
    store.scratch()
    for path in (store.root, *store.root.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


@given(
    st.lists(st.lists(st.none() | st.floats(allow_nan=False), min_size=1, max_size=9), min_size=1, max_size=9),
    st.integers(1, 7),
    st.data(),
)
def test_some_series_of_a_panel_are_read_as_if_all_were(
    tmp_path_factory: pytest.TempPathFactory, lists: list[list[float]], block: int, data: st.DataObject
) -> None:
    store = DatasetStore(tmp_path_factory.mktemp("datasets"))
    values = tuple(np.array(one, np.float64) for one in lists)
    dataset = store.add(Panel(tuple(map(str, range(len(values)))), values, (None,) * len(values), None))
    places = sorted(data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1)))
    outline = store.outline(dataset.id)
    with pytest.MonkeyPatch.context() as patch:
        # So small that series begin and end anywhere in a block.
        patch.setattr(panel_files, "BLOCK_POINTS", block)
        read = store.load_series(dataset.id, outline, places)
    assert outline.lengths == tuple(map(len, values))
    for place, series in zip(places, read, strict=True):
        np.testing.assert_array_equal(series, values[place])


def test_series_of_a_damaged_file_are_never_read_in_part(store: DatasetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel_files, "BLOCK_POINTS", 64)
    dataset = store.add(Panel(("a", "b"), (np.arange(1000.0), np.arange(1000.0)), (None, None), None))
    outline = store.outline(dataset.id)
    path = store.root / dataset.id / VALUES
    content = bytearray(path.read_bytes())
    # Inside the second series: whoever reads the first alone learns of it too.
    content[content.index(np.float64(777).tobytes(), 8000)] ^= 0xFF
    path.write_bytes(content)
    for places in ([0], [1], [0, 1]):
        with pytest.raises(DatasetDamaged):
            store.load_series(dataset.id, outline, places)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetDamaged):
        store.outline(dataset.id)
    with pytest.raises(DatasetDamaged):
        store.load_series(dataset.id, outline, [0])
    store.delete(dataset.id)
    for read in (lambda: store.outline(dataset.id), lambda: store.load_series(dataset.id, outline, [0])):
        with pytest.raises(DatasetNotFound):
            read()


def test_a_mapped_panel_is_the_same_and_stays_when_its_data_set_goes(store: DatasetStore) -> None:
    dataset = store.add(PANEL)
    loaded, mapped = store.load(dataset.id), store.load(dataset.id, mapped=True)
    assert same(loaded, mapped)
    assert mapped.flat is not None
    assert mapped.flat.flags.aligned
    with pytest.raises(ValueError, match="read-only"):
        mapped.values[0][0] = 1
    store.delete(dataset.id)
    assert same(mapped, PANEL)


def test_a_mapped_panel_is_compared_with_its_checksum(store: DatasetStore) -> None:
    dataset = store.add(Panel(("a",), (np.arange(1000.0),), (None,), None))
    path = store.root / dataset.id / VALUES
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(777).tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetDamaged):
        store.load(dataset.id, mapped=True)


def test_files_of_earlier_releases_are_read_mapped_or_not_and_replaced(store: DatasetStore) -> None:
    dataset = store.add(PANEL)
    text = orjson.dumps({"ids": PANEL.ids, "starts": PANEL.starts, "freq": PANEL.freq})
    np.savez(
        store.root / dataset.id / VALUES,
        flat=np.concatenate(PANEL.values),
        lengths=np.array([3, 1]),
        text=np.frombuffer(text, np.uint8),
    )
    record = {"id": dataset.id, "created_at": "2026-01-01T00:00:00.000Z", "n_series": 2, "n_points": 4, "freq": "D"}
    (store.root / dataset.id / FACTS).write_bytes(orjson.dumps({**record, "audit": []}))
    assert store.get(dataset.id).updated_at == record["created_at"]
    for mapped in (False, True):
        assert same(store.load(dataset.id, digest=PANEL.digest(), mapped=mapped), PANEL)
    outline = store.outline(dataset.id)
    assert outline.digest is None
    for read, values in zip(store.load_each(dataset.id, outline), PANEL.values, strict=True):
        np.testing.assert_array_equal(read, values)
    assert store.add_in_place_of(dataset.id, OTHER).created_at == record["created_at"]
    assert same(store.load(dataset.id), OTHER)


def test_folders_change_places_also_where_the_system_can_not_do_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / folder.name).touch()
    swapped: list[Path] = []
    for fallback in (False, True):
        if fallback:
            monkeypatch.setattr(exchange_module, "_exchange_at_once", lambda *_: False)
        exchange_module.exchange(one, other)
        swapped = [next(one.iterdir()), next(other.iterdir())]
        assert [path.name for path in swapped] == (["one", "other"] if fallback else ["other", "one"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]
    with pytest.raises(OSError, match="No such file"):
        exchange_module.exchange(one, tmp_path / "none")


def test_pages_of_a_large_panel_read_their_series_alone_until_the_file_changes(
    store: DatasetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel_files, "LARGE_POINTS", 10)
    values = tuple(np.random.default_rng(i).normal(size=50) for i in range(6))
    dataset = store.add(Panel(tuple("abcdef"), values, (None,) * 6, None))
    outline = store.outline(dataset.id)
    for places in ([0, 5], [2, 3], [1]):
        for place, read in zip(places, store.load_series(dataset.id, outline, places), strict=True):
            np.testing.assert_array_equal(read, values[place])
    path = store.root / dataset.id / VALUES
    content = bytearray(path.read_bytes())
    content[content.index(values[4].tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetDamaged):
        store.load_series(dataset.id, outline, [0])
    store.add_in_place_of(dataset.id, OTHER)
    with pytest.raises(DatasetReplaced):
        store.load_series(dataset.id, outline, [0])


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("bit", [1, 0x80])
def test_whichever_byte_of_the_numbers_is_flipped_none_is_wrong_in_silence(
    tmp_path: Path, mapped: bool, bit: int
) -> None:
    store = DatasetStore(tmp_path)
    panel = Panel(("a", "b"), (np.arange(20.0) + 0.5, np.arange(5.0)), ("2020-01-01", None), "D")
    kept = store.add(panel)
    (file,) = (tmp_path / kept.id).glob("values*")
    original = file.read_bytes()
    refused = 0
    for i in range(len(original)):
        content = bytearray(original)
        content[i] ^= bit
        file.write_bytes(content)
        try:
            # Some bytes mean nothing, such as times within the archive.
            assert store.load(kept.id, mapped=mapped).digest() == panel.digest()
        except DatasetDamaged:
            refused += 1
    assert refused > len(original) / 2
