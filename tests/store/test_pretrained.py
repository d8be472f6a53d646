"""The version that comes with the package goes into stores that never had its model."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.store.catalog import Catalog
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
