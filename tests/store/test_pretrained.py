"""The version that comes with the package goes into stores that never had its model, or an earlier one of it."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from service.store.catalog import Catalog
from service.store.layout import MANIFEST
from service.store.manifest import Manifest
from service.store.pretrained import FOLDER, publish_pretrained


def test_an_empty_store_gets_it_once(tmp_path: Path) -> None:
    [published] = publish_pretrained(tmp_path)
    assert (published.name, published.version, published.architecture) == ("zero-shot", 1, "zero_shot")
    assert publish_pretrained(tmp_path) == []
    catalog = Catalog(tmp_path)
    catalog.refresh()
    assert catalog.default == "zero-shot"
    assert catalog.damaged == ()
    catalog.verify(catalog.resolve("zero-shot"))


def test_a_model_that_somebody_deleted_stays_away(tmp_path: Path) -> None:
    publish_pretrained(tmp_path)
    catalog = Catalog(tmp_path)
    catalog.refresh()
    catalog.delete_version("zero-shot", 1)
    assert publish_pretrained(tmp_path) == []


def an_earlier_package(folder: Path) -> Path:
    """A copy of the package's versions that was pretrained otherwise."""
    shutil.copytree(FOLDER, folder)
    (path,) = folder.glob(f"*/{MANIFEST}")
    manifest = Manifest.from_json(path.read_bytes())
    path.write_bytes(replace(manifest, data={**manifest.data, "digest": "0" * 64}).to_json())
    return folder


def test_a_newer_package_adds_its_version_once_and_an_older_one_none(tmp_path: Path) -> None:
    earlier, root = an_earlier_package(tmp_path / "earlier"), tmp_path / "store"
    assert [one.version for one in publish_pretrained(root, earlier)] == [1]
    assert [one.version for one in publish_pretrained(root)] == [2]
    # As where servers of both packages share a store.
    assert publish_pretrained(root, earlier) == publish_pretrained(root) == []
    catalog = Catalog(root)
    catalog.refresh()
    assert catalog.resolve("zero-shot").version == 2


def test_a_newer_package_leaves_a_model_alone_that_somebody_deleted_from_or_trained(tmp_path: Path) -> None:
    earlier = an_earlier_package(tmp_path / "earlier")
    for change in ("deleted", "trained"):
        root = tmp_path / change
        publish_pretrained(root, earlier)
        if change == "deleted":
            catalog = Catalog(root)
            catalog.refresh()
            catalog.delete_version("zero-shot", 1)
        else:
            (path,) = root.glob(f"zero-shot/1/{MANIFEST}")
            path.write_bytes(replace(Manifest.from_json(path.read_bytes()), job_id="job-1").to_json())
        assert publish_pretrained(root) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cant_be_written_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert publish_pretrained(tmp_path) == []


def test_it_is_small_enough_for_a_package() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 25e6


def test_what_an_interrupted_start_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "zero-shot").mkdir()
    assert [published.version for published in publish_pretrained(tmp_path)] == [1]


def test_servers_that_start_together_publish_it_once_and_whole(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        published = [one for some in pool.map(lambda _: publish_pretrained(tmp_path), range(4)) for one in some]
    assert [one.version for one in published] == [1]
    catalog = Catalog(tmp_path)
    catalog.refresh()
    assert catalog.damaged == ()
    catalog.verify(catalog.resolve("zero-shot"))
    assert list((tmp_path / ".staging").iterdir()) == []
