"""The object store: a real HTTP server that speaks S3, and a folder."""

import threading
import time
from pathlib import Path

import pytest

from service.errors import StorageUnavailable
from service.storage.object_failure import AccessRefused
from service.storage.object_storage import (
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    ObjectStorage,
)
from service.storage.object_url import check_url
from tests.s3 import S3


@pytest.fixture(params=["s3", "folder"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStorage:
    if request.param == "s3":
        return ObjectStorage(request.getfixturevalue("s3_url"))
    return ObjectStorage(f"file://{tmp_path}/objects")


def test_what_is_put_is_read_listed_and_removed(storage: ObjectStorage) -> None:
    storage.put("a/one.json", b"1")
    storage.put("a/b/two.json", b"22")
    storage.put("c/three.json", b"")
    assert storage.get("a/one.json") == b"1"
    assert storage.get("c/three.json") == b""
    assert [(facts.key, facts.n_bytes) for facts in storage.list_objects()] == [
        ("a/b/two.json", 2),
        ("a/one.json", 1),
        ("c/three.json", 0),
    ]
    assert [facts.key for facts in storage.list_objects("a/b")] == ["a/b/two.json"]
    assert [facts.key for facts in storage.list_objects(after="a/one.json")] == ["c/three.json"]
    assert storage.list_objects("nowhere") == []
    assert abs(storage.list_objects("c")[0].modified_at - time.time()) < 60
    storage.delete(["a/one.json", "never/there"])
    storage.delete([])
    assert [facts.key for facts in storage.list_objects("a")] == ["a/b/two.json"]
    with pytest.raises(ObjectMissing):
        storage.get("a/one.json")


def test_of_many_who_write_a_new_object_one_succeeds(storage: ObjectStorage) -> None:
    won: list[int] = []
    barrier = threading.Barrier(12)

    def write(i: int) -> None:
        barrier.wait()
        try:
            storage.put_new("race", str(i).encode())
        except ObjectExists:
            return
        won.append(i)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.get("race") == str(won[0]).encode()


def test_no_update_of_many_writers_is_lost(storage: ObjectStorage) -> None:
    storage.put_new("counter", b"0")

    def count() -> None:
        for _ in range(5):
            while True:
                content, tag = storage.read("counter")
                number, _, _ = content.partition(b" ")
                try:
                    storage.put_if_match("counter", b"%d by %d" % (int(number) + 1, threading.get_ident()), tag)
                    break
                except ObjectChanged:
                    continue

    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.get("counter").split()[0] == b"30"


def test_an_object_that_is_gone_is_not_replaced(storage: ObjectStorage) -> None:
    storage.put("state", b"1")
    _, tag = storage.read("state")
    storage.delete(["state"])
    with pytest.raises(ObjectChanged):
        storage.put_if_match("state", b"2", tag)
    assert storage.list_objects() == []


def test_a_write_whose_answer_was_lost_counts_as_done(storage: ObjectStorage) -> None:
    storage.put_new("claim", b"mine")
    storage.put_new("claim", b"mine")
    _, tag = storage.read("claim")
    storage.put_if_match("claim", b"mine too", tag)
    storage.put_if_match("claim", b"mine too", tag)
    with pytest.raises(ObjectExists):
        storage.put_new("claim", b"other")


def test_large_files_go_up_and_down_in_parts(storage: ObjectStorage, tmp_path: Path) -> None:
    content = bytes(range(256)) * 80_001
    (tmp_path / "large").write_bytes(content)
    storage.upload(tmp_path / "large", "folder/large")
    storage.download("folder/large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    with pytest.raises(InterruptedError):
        storage.download("folder/large", tmp_path / "back", lambda: True)
    (tmp_path / "empty").touch()
    storage.upload(tmp_path / "empty", "empty")
    storage.download("empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""
    with pytest.raises(ObjectMissing):
        storage.download("nowhere", tmp_path / "back")


def test_a_store_that_fails_now_and_then_is_asked_again(s3: S3, s3_url: str) -> None:
    storage = ObjectStorage(s3_url)
    s3.fail("flaky")
    for i in range(6):
        storage.put_new(f"object-{i}", b"%d" % i)
    assert len(storage.list_objects()) == 6


def test_a_store_that_goes_on_failing_is_unavailable_after_a_while(s3: S3, s3_url: str) -> None:
    storage = ObjectStorage(s3_url, retry_seconds=0.5, request_seconds=1)
    storage.put("there", b"1")
    for fault in ("500", "503", "hang"):
        s3.fail(fault)
        for call in (
            lambda: storage.get("there"),
            lambda: storage.list_objects(),
            lambda: storage.put("x", b""),
            lambda: storage.put_new("y", b""),
        ):
            with pytest.raises(StorageUnavailable, match="object store s3://"):
                call()
    s3.fail("")
    assert storage.get("there") == b"1"


def test_a_store_that_nothing_listens_for_is_unavailable(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageUnavailable, match="can't be used or reached"):
        ObjectStorage(s3_url, retry_seconds=0.3).get("key")


def test_refusals_are_told_apart_from_outages(s3: S3) -> None:
    storage = ObjectStorage("s3://no-such-bucket/prefix", retry_seconds=0.5)
    for call in (
        lambda: storage.get("key"),
        lambda: storage.list_objects(),
        lambda: storage.put("key", b""),
        lambda: storage.put_new("key", b""),
        lambda: storage.put_if_match("key", b"", '"tag"'),
    ):
        with pytest.raises(AccessRefused, match="no such bucket"):
            call()
    s3.fail("403")
    with pytest.raises(AccessRefused, match="refuses access"):
        storage.list_objects()


def test_a_store_that_can_not_be_opened_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(AccessRefused, match="AZURE_STORAGE_ACCOUNT_NAME"):
        ObjectStorage("az://container/models")
    # As on a machine without the package.
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(AccessRefused, match="ca-certificates"):
        ObjectStorage("s3://bucket/models")
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match="can't be used"):
        ObjectStorage(f"file://{tmp_path}/file/folder")


@pytest.mark.parametrize(
    "url", ["s3://bucket", "s3://bucket/prefix/", "gs://bucket/p", "az://container/p", "file:///folder"]
)
def test_urls_of_object_stores_are_taken(url: str) -> None:
    assert check_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3:/bucket",
        "s3://",
        "s3:///prefix",
        "ftp://bucket/prefix",
        "http://bucket.s3.amazonaws.com",
        "s3://key:hunter2@bucket/prefix",
        "s3://bucket/prefix?token=hunter2",
        "s3://bucket/prefix#hunter2",
        "file://host/folder",
        "file://",
    ],
)
def test_other_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValueError) as refusal:
        check_url(url)
    assert "hunter2" not in str(refusal.value)


def test_what_is_read_part_by_part_is_all_of_one_state(storage: ObjectStorage) -> None:
    storage.put("export", b"old" * 4_000_000)
    parts = storage.read_parts("export")
    first = next(parts)
    storage.put("export", b"new" * 4_000_000)
    with pytest.raises(ObjectChanged):
        next(parts)
    assert first == (b"old" * 4_000_000)[: len(first)]
    assert b"".join(storage.read_parts("export")) == b"new" * 4_000_000
    parts = storage.read_parts("export")
    next(parts)
    storage.delete(["export"])
    with pytest.raises(ObjectChanged):
        next(parts)
    with pytest.raises(ObjectMissing):
        storage.read_parts("export")
