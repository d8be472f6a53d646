"""Uploads from the stream to the store, with the reader as the process that it is."""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.datasets.dataset import Dataset
from service.datasets.file_options import FileOptions
from service.datasets.quota import STAGING
from service.datasets.reader import CSV
from service.datasets.store import DatasetStore
from service.datasets.upload import Uploader
from service.datasets.upload_limits import UploadLimits
from service.errors import InvalidRequest, StorageUnavailable, UploadsFull, UploadTooLarge

pytestmark = pytest.mark.anyio
LIMITS = UploadLimits(max_points=1000, max_series=10)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path)


def make_uploader(store: DatasetStore, read_seconds: float = 60) -> Uploader:
    return Uploader(store, LIMITS, max_bytes=10_000, read_seconds=read_seconds)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def take(uploader: Uploader, *chunks: bytes) -> Dataset:
    return await uploader.read(await uploader.save(stream(*chunks)), CSV)


def staged(store: DatasetStore) -> list[Path]:
    return list((store.root / STAGING).iterdir())


def replace_reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> None:
    """Puts another program in the reader's place: it gets the same arguments."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{code}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


async def test_a_file_becomes_a_data_set(store: DatasetStore) -> None:
    dataset = await take(make_uploader(store), b"unique_id,y\na,", b"1\n", b"a,2\n")
    assert store.get(dataset.id) == dataset
    assert store.load(dataset.id).values[0].tolist() == [1, 2]
    assert sorted(path.name for path in (store.root / dataset.id).iterdir()) == ["facts.json", "values.npz"]
    assert staged(store) == []


async def test_a_refused_file_leaves_nothing(store: DatasetStore) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await take(make_uploader(store), b"unique_id,y\na,one\n")
    assert caught.value.flaws[0].pointer == "/y/0"
    with pytest.raises(UploadTooLarge):
        await take(make_uploader(store), b"y\n", b"1\n" * 6000)
    assert staged(store) == []
    assert store.page() == ([], None)


async def test_a_stream_that_breaks_leaves_nothing(store: DatasetStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"y\n1\n"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await make_uploader(store).save(broken())
    assert staged(store) == []


async def test_a_reader_that_takes_too_long_is_ended(
    store: DatasetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_reader(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    with pytest.raises(InvalidRequest, match=r"longer than 0\.5 s"):
        await take(make_uploader(store, read_seconds=0.5), b"y\n1\n")
    assert_ended(tmp_path / "pid")
    assert staged(store) == []


async def test_a_caller_that_goes_away_ends_the_reader(
    store: DatasetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_reader(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    taking = asyncio.ensure_future(take(make_uploader(store), b"y\n1\n"))
    await asyncio.to_thread(wait_for, tmp_path / "pid")
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert_ended(tmp_path / "pid")
    assert staged(store) == []


@pytest.mark.parametrize("code", ["kill -9 $$", "kill -SEGV $$", "exit 1", "echo rubbish"])
async def test_a_reader_that_dies_is_the_files_fault(
    store: DatasetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    replace_reader(monkeypatch, tmp_path, code)
    with pytest.raises(InvalidRequest) as caught:
        await take(make_uploader(store), b"y\n1\n")
    assert caught.value.flaws[0].code == "unreadable_file"
    assert staged(store) == []


@pytest.mark.parametrize(
    ("code", "words", "is_size"),
    [
        ("kill -9 $$", "more memory", True),
        ("kill -XCPU $$", "of CPU time", True),
        ("echo 'numpy._core._exceptions._ArrayMemoryError: no' >&2; exit 1", "more memory", True),
        ("echo 'terminate called after throwing std::bad_alloc' >&2; kill -ABRT $$", "more memory", True),
        ("echo 'ZeroDivisionError: division by zero' >&2; exit 1", "fault of the server", False),
        ("kill -SEGV $$", "fault of the server", False),
        ("echo rubbish", "fault of the server", False),
    ],
)
async def test_only_memory_and_time_are_blamed_on_the_size_of_a_file(
    store: DatasetStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: str,
    words: str,
    is_size: bool,
) -> None:
    replace_reader(monkeypatch, tmp_path, code)
    with pytest.raises(InvalidRequest) as caught:
        await take(make_uploader(store), b"y\n1\n")
    message = caught.value.flaws[0].message
    assert words in message
    assert ("several uploads" in message) == is_size
    assert "Error" not in message
    # What is no fault of the file is for the log.
    assert bool(caplog.records) != is_size
    if "ZeroDivision" in code:
        assert "division by zero" in caplog.text


async def test_what_the_sender_says_of_a_file_reaches_the_reader(store: DatasetStore) -> None:
    uploader = make_uploader(store)
    folder = await uploader.save(stream(b"day,price,sold\n2024-01-01,3,1.025\n2024-01-02,4,975\n2024-01-03,4,975\n"))
    dataset = await uploader.read(folder, CSV, FileOptions(target_column="sold", thousands="."))
    assert store.load(dataset.id).values[0].tolist() == [1025, 975, 975]
    assert [finding.code for finding in dataset.audit] == ["columns_assumed", "columns_assumed", "short"]
    assert sorted(path.name for path in (store.root / dataset.id).iterdir()) == ["facts.json", "values.npz"]


async def test_a_file_that_is_written_anew_to_be_read_leaves_nothing_else(store: DatasetStore) -> None:
    dataset = await take(make_uploader(store), "ds,y\n2024-01-01,1,\n2024-01-02,2\n".encode("utf-16"))
    assert sorted(path.name for path in (store.root / dataset.id).iterdir()) == ["facts.json", "values.npz"]


async def test_the_reader_is_not_told_our_keys(
    store: DatasetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTFIELDER_API_KEYS", "secret")
    replace_reader(
        monkeypatch, tmp_path, f"env > {tmp_path}/environment; echo '{json.dumps({'flaws': [['', 'x', 'X.']]})}'"
    )
    with pytest.raises(InvalidRequest, match=r"X\."):
        await take(make_uploader(store), b"y\n1\n")
    environment = (tmp_path / "environment").read_text()
    assert "PATH=" in environment
    assert "secret" not in environment


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 30
    while not file.exists() or not file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_ended(file: Path) -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """A disk that takes no larger files, in this process and in those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_takes_no_more_is_not_the_files_fault(store: DatasetStore) -> None:
    uploader = Uploader(store, UploadLimits(10**6, 10), max_bytes=10**7)
    with files_of_at_most(200_000):
        with pytest.raises(StorageUnavailable, match="folder of uploads"):
            await uploader.save(stream(b"y\n", b"1\n" * 10**6))
        # It has room for the file, and none for what the reader makes of it.
        with pytest.raises(StorageUnavailable, match="folder of uploads"):
            await take(uploader, b"y\n", b"1\n" * 50_000)
        with pytest.raises(InvalidRequest):
            await take(uploader, b"y\n", b"x\n" * 1000)
    assert staged(store) == []
    assert (await take(uploader, b"y\n", b"1\n" * 50_000)).n_points == 50_000


async def test_uploads_keep_within_what_all_may_take(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path / "datasets", 1_000_000)
    uploader = Uploader(store, UploadLimits(10**6, 10), max_bytes=10**7)
    with pytest.raises(UploadsFull):
        await uploader.save(stream(b"y\n", *[b"1\n" * 100_000] * 6))
    # 120 kB of text make 480 kB of numbers: both must fit until the text is gone.
    text = b"1\n" * 60_000
    kept = await asyncio.gather(*(take(uploader, b"y\n", text) for _ in range(4)), return_exceptions=True)
    refused = [one for one in kept if not isinstance(one, Dataset)]
    assert refused
    assert all(isinstance(one, UploadsFull) for one in refused)
    assert staged(store) == []
    assert store.quota.measure().total <= 1_000_000
    for dataset in (one for one in kept if isinstance(one, Dataset)):
        store.delete(dataset.id)
    assert (await take(uploader, b"y\n", text)).n_points == 60_000


async def test_a_reader_that_can_not_be_started_is_not_the_files_fault(
    store: DatasetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    with pytest.raises(StorageUnavailable, match="reader of uploads"):
        await take(make_uploader(store), b"y\n1\n")
    assert staged(store) == []


async def test_a_reader_imports_no_pandas_where_it_is_installed(
    store: DatasetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "imported"
    code = (
        f"import sys; from service.datasets.reader import main; main(); print(*sys.modules, file=open('{told}', 'w'))"
    )
    replace_reader(monkeypatch, tmp_path, f'shift 2\nexec {sys.executable} -c "{code}" "$@"')
    dataset = await take(make_uploader(store), b"ds,y\n2024-01-01,1\n2024-01-02,2\n")
    assert dataset.n_points == 2
    assert {"numpy", "pyarrow"} <= set(told.read_text().split())
    assert "pandas" not in told.read_text().split()
