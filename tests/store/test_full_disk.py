"""A full disk: whoever publishes or copies is told, what is there goes on serving, and nothing half is left."""

import os
from pathlib import Path

import numpy as np
import pytest

from service.datasets.shared_store import open_datasets
from service.domain.panel import Panel
from service.errors import StorageUnavailable
from service.store.catalog import Catalog
from service.store.publish import publish, staging
from tests.disks import fill, mounted
from tests.store.machines import Machine
from tests.store.test_store import add_version, make_manifest, numbers


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_a_publication_on_a_full_disk_fails_clearly_and_leaves_a_clean_store(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "512k") as disk:
        root = disk / "store"
        add_version(root)
        catalog = Catalog(root)
        folder = staging(root, "job")
        (folder / "saved_model.pb").write_bytes(b"graph")
        ballast = fill(disk)
        with pytest.raises(StorageUnavailable, match="model store is full"):
            publish(root, folder, make_manifest(job_id="job"))
        catalog.refresh()
        assert numbers(catalog) == [1]
        assert catalog.damaged == ()
        catalog.verify(catalog.resolve("demo"))
        with pytest.raises(StorageUnavailable, match="model store is full"):
            catalog.set_alias("demo", "stable", 1)
        assert sorted(left_in(root / "demo")) == [".lock", "1", "last_version.json"]
        ballast.unlink()
        assert publish(root, folder, make_manifest(job_id="job")).version == 2
        catalog.refresh()
        assert numbers(catalog) == [1, 2]


def test_a_copy_on_a_full_disk_goes_on_serving_and_is_completed_when_there_is_room(s3_url: str, tmp_path: Path) -> None:
    one = Machine(s3_url, tmp_path / "one")
    one.store.promote(one.publish())
    with mounted(tmp_path / "disk", "1m") as disk:
        two = Machine(s3_url, disk / "copy")
        two.look()
        large = one.publish(content=os.urandom(1200))
        one.store.promote(large)
        for full in (True, False):
            ballast = fill(disk) if full else None
            with pytest.raises(StorageUnavailable, match="model store is full"):
                two.catalog.mirror.refresh()
            assert left_in(two.store.root / ".staging") == []
            two.catalog.refresh()
            assert two.catalog.resolve("demo").version == 1
            two.catalog.verify(two.catalog.resolve("demo"))
            # The alias stays where it was until its version is here.
            assert two.catalog.model("demo").aliases == {"champion": 1}
            (damage,) = two.catalog.damaged
            assert "model store is full" in damage.reason
            if ballast is not None:
                ballast.unlink()
        small = one.publish()
        one.store.promote(small)
        one.catalog.delete_version("demo", large.version)
        assert two.numbers() == [1, small.version]
        assert two.catalog.damaged == ()


def test_a_publication_whose_copy_finds_no_room_is_published_all_the_same(s3_url: str, tmp_path: Path) -> None:
    two = Machine(s3_url, tmp_path / "two")
    with mounted(tmp_path / "disk", "512k") as disk:
        one = Machine(s3_url, disk / "copy")
        folder = one.store.staging("job")
        (folder / "saved_model.pb").write_bytes(b"graph")
        fill(disk)
        published = one.store.publish(folder, make_manifest(job_id="job"))
    assert two.numbers() == [published.version]
    two.catalog.verify(published)


def test_an_upload_that_finds_no_room_here_leaves_nothing_and_is_read_when_there_is(
    s3_url: str, tmp_path: Path
) -> None:
    panel = Panel(("a",), (np.random.default_rng(0).normal(size=50_000),), (None,), None)
    one = open_datasets(s3_url, tmp_path / "one")
    kept = one.add(panel)
    with mounted(tmp_path / "disk", "1m") as disk:
        two = open_datasets(s3_url, disk / "copy")
        two.scratch().rmdir()
        ballast = fill(disk)
        for call in (lambda: two.load(kept.id), lambda: two.add(panel)):
            with pytest.raises(StorageUnavailable, match="folder of uploads is full"):
                call()
        assert left_in(disk / "copy") == [".staging"]
        assert left_in(disk / "copy" / ".staging") == []
        assert [dataset.id for dataset in one.page()[0]] == [kept.id]
        ballast.unlink()
        assert two.load(kept.id).digest() == panel.digest()
