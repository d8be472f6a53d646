"""A damaged store: each bad entry is named, and stands in nobody's way."""

import json
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.errors import StorageUnavailable, StoreUnreadable, VersionDamaged, VersionNotFound
from service.store.catalog import Catalog
from service.store.publish import find_by_job, publish
from service.store.store_check import check_store
from tests.store.damages import OF_CONTENT, OF_MODELS, OF_STORES, OF_VERSIONS, change, make_loop, put
from tests.store.test_store import add_version, catalog_of, make_manifest, numbers

NOBODY = 65534


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that each test has a copy of: to publish waits for the disk. To be read only."""
    folder = tmp_path_factory.mktemp("pattern")
    for name in ("left", "right"):
        for _ in range(12):
            add_version(folder, name)
    return folder


@pytest.fixture
def root(pattern: Path, tmp_path: Path) -> Path:
    """A store of two models of ten whole versions each, and two more of each, for damage."""
    return Path(shutil.copytree(pattern, tmp_path, dirs_exist_ok=True))


def whole(catalog: Catalog) -> int:
    for entry in catalog.models():
        for manifest in entry.versions:
            catalog.verify(manifest)
    return sum(len(entry.versions) for entry in catalog.models())


def reasons(catalog: Catalog, entry: str) -> str:
    return " | ".join(damage.reason for damage in catalog.damaged if damage.entry == entry)


@pytest.mark.parametrize("kind", OF_VERSIONS)
def test_a_damaged_version_is_named_and_left_out(root: Path, kind: str) -> None:
    damage, words = OF_VERSIONS[kind]
    damage(root / "left" / "12")
    catalog = catalog_of(root)
    assert whole(catalog) == 23
    (found,) = catalog.damaged
    assert (found.entry, found.model, found.version) == ("left/12", "left", 12)
    assert words in found.reason
    assert str(root) not in found.reason
    # The others go on: what is published, and what is deleted.
    assert catalog.resolve("left").version == 11
    with pytest.raises(VersionDamaged, match=r"left/12"):
        catalog.resolve("left", 12)
    assert add_version(root, "left", job_id="new").version == 13
    assert find_by_job(root, "left", "absent") is None
    found_by_job = find_by_job(root, "left", "new")
    assert found_by_job is not None
    assert found_by_job.version == 13
    catalog.delete_version("left", 12)
    assert (catalog.damaged, numbers(catalog, "left")[-1]) == ((), 13)


@pytest.mark.parametrize("kind", [*OF_VERSIONS, *OF_CONTENT])
def test_check_store_counts_a_damaged_version(root: Path, kind: str) -> None:
    damage, words = (OF_VERSIONS | OF_CONTENT)[kind]
    damage(root / "left" / "12")
    checked, findings = check_store(root)
    assert checked == 24
    (finding,) = findings
    assert (finding["entry"], finding["model"], finding["version"]) == ("left/12", "left", 12)
    assert words in finding["message"]


@pytest.mark.parametrize("kind", OF_CONTENT)
def test_damage_of_files_is_found_when_they_are_compared(root: Path, kind: str) -> None:
    damage, words = OF_CONTENT[kind]
    damage(root / "left" / "12")
    catalog = catalog_of(root)
    assert catalog.damaged == ()
    with pytest.raises(VersionDamaged, match=words.replace(".", r"\.")):
        catalog.verify(catalog.resolve("left", 12))


@pytest.mark.parametrize("kind", OF_MODELS)
def test_what_is_damaged_beside_versions_is_named_and_they_are_served(root: Path, kind: str) -> None:
    catalog = catalog_of(root)
    catalog.set_alias("left", "champion", 3)
    damage, words = OF_MODELS[kind]
    damage(root / "left")
    catalog.refresh()
    assert whole(catalog) == 24
    (found,) = catalog.damaged
    assert (found.model, found.version) == ("left", None)
    assert found.entry.startswith("left")
    assert words in found.reason
    json.dumps(found.reason).encode()
    assert len(check_store(root)[1]) == 1
    assert add_version(root, "left").version == 13


@pytest.mark.parametrize("kind", OF_STORES)
def test_what_is_damaged_beside_models_is_named_and_they_are_served(root: Path, kind: str) -> None:
    damage, words = OF_STORES[kind]
    damage(root)
    catalog = catalog_of(root)
    assert whole(catalog) == 24
    (found,) = catalog.damaged
    assert found.version is None
    assert words in found.reason
    assert catalog.resolve().name == "left"
    assert len(check_store(root)[1]) == 1


def test_each_kind_of_damage_at_once_leaves_all_others_whole(root: Path) -> None:
    for number in range(12):
        add_version(root, "broken", job_id=f"job-{number}")
    for n, (damage, _) in enumerate(OF_VERSIONS.values()):
        shutil.copytree(root / "right" / "1", root / "left" / str(100 + n))
        change(name="left", version=100 + n)(root / "left" / str(100 + n))
        damage(root / "left" / str(100 + n))
    for index, (damage, _) in enumerate(OF_MODELS.values()):
        folder = root / f"model-{index}"
        shutil.copytree(root / "right" / "1", folder / "1")
        change(name=f"model-{index}", version=1)(folder / "1")
        damage(folder)
    for damage, _ in OF_STORES.values():
        damage(root)
    catalog = catalog_of(root)
    assert whole(catalog) == 36 + len(OF_MODELS)
    of_versions = [damage for damage in catalog.damaged if damage.version is not None]
    assert len(of_versions) == len(OF_VERSIONS)
    # Those of the default overwrite each other.
    assert len(catalog.damaged) == len(of_versions) + len(OF_MODELS) + len(OF_STORES) - 4


def test_damage_that_is_mended_is_served_again(root: Path) -> None:
    manifest = root / "left" / "12" / "manifest.json"
    content = manifest.read_bytes()
    catalog = catalog_of(root)
    for damage in (put("manifest.json", content[:100]), change(gate="x")):
        damage(manifest.parent)
        catalog.refresh()
        assert numbers(catalog, "left")[-1] == 11
        manifest.write_bytes(content)
        catalog.refresh()
        assert (catalog.damaged, numbers(catalog, "left")[-1]) == ((), 12)
    graph = root / "left" / "12" / "saved_model.pb"
    fresh = Catalog(root)
    graph.rename(root / "aside")
    fresh.refresh()
    assert numbers(fresh, "left")[-1] == 11
    (root / "aside").rename(graph)
    fresh.refresh()
    assert numbers(fresh, "left")[-1] == 12


def test_a_model_without_a_whole_version_is_not_absent_but_damaged(root: Path) -> None:
    add_version(root, "alone")
    change(gate=5)(root / "alone" / "1")
    catalog = catalog_of(root)
    with pytest.raises(VersionDamaged, match=r"alone/1 .*gate"):
        catalog.resolve("alone")
    with pytest.raises(VersionDamaged):
        catalog.set_default("alone")


def test_an_alias_that_is_damaged_says_so_and_is_mended_by_setting_it(root: Path) -> None:
    catalog = catalog_of(root)
    catalog.set_alias("left", "champion", 3)
    catalog.set_alias("left", "old", 2)
    put("aliases.json", '{"champion": [3], "old": 2, "next": 99}')(root / "left")
    catalog.refresh()
    assert catalog.model("left").aliases == {"old": 2}
    assert catalog.resolve("left", "old").version == 2
    assert catalog.resolve("left").version == 12
    with pytest.raises(VersionDamaged, match="champion"):
        catalog.resolve("left", "champion")
    with pytest.raises(VersionNotFound):
        catalog.resolve("left", "unheard")
    catalog.set_alias("left", "champion", 4)
    # One that leads to a version that may come back is kept.
    assert json.loads((root / "left" / "aliases.json").read_text()) == {"champion": 4, "old": 2, "next": 99}
    assert [damage.alias for damage in catalog.damaged] == ["next"]


def test_an_alias_keeps_its_damaged_version_from_being_deleted(root: Path) -> None:
    catalog = catalog_of(root)
    catalog.set_alias("left", "champion", 3)
    change(horizon="x")(root / "left" / "3")
    with pytest.raises(Exception, match="alias 'champion'"):
        catalog.delete_version("left", 3)


@pytest.mark.parametrize("content", ["", "{", '{"last_version": "x"}', "[]"])
def test_a_damaged_counter_stops_no_publication(root: Path, content: str) -> None:
    put("last_version.json", content)(root / "left")
    assert add_version(root, "left").version == 13
    assert catalog_of(root).damaged == ()


def test_a_store_that_takes_no_more_says_so_and_keeps_what_it_has(root: Path) -> None:
    catalog = catalog_of(root)
    catalog.set_alias("left", "champion", 3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))
    try:
        for change_store in (
            lambda: catalog.set_alias("left", "champion", 4),
            lambda: catalog.set_default("left"),
            lambda: publish(root, root / ".staging" / "staged", make_manifest("left")),
        ):
            with pytest.raises(StorageUnavailable, match="model store"):
                change_store()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert catalog_of(root).resolve("left").version == 3
    assert [path.name for path in (root / "left").glob("*.tmp")] == []
    assert add_version(root, "left").version == 13


def test_who_may_read_the_store_may_read_its_versions_whatever_the_process_keeps_private(tmp_path: Path) -> None:
    root = tmp_path / "store"
    before = os.umask(0o077)
    try:
        for mode in (0o755, 0o750, 0o700):
            root.mkdir(mode=mode, exist_ok=True)
            root.chmod(mode)
            name = f"m{mode:o}"
            add_version(root, name)
            catalog_of(root).set_alias(name, "champion", 1)
            for path in (root / name, *(root / name).rglob("*")):
                expected = mode if path.is_dir() else mode & 0o666
                assert path.stat().st_mode & 0o777 == expected, path
    finally:
        os.umask(before)


def test_what_is_nobodys_business_is_passed_over(root: Path) -> None:
    (root / "README.md").write_text("models")
    (root / "lost+found").mkdir()
    (root / ".hidden").mkdir()
    os.mkfifo(root / ".pipe")
    (root / "empty").mkdir()
    (root / "left" / "notes.txt").write_text("a note")
    (root / "left" / ".nfs01").write_text("")
    assert catalog_of(root).damaged == ()
    assert check_store(root) == (24, [])


def test_a_store_that_leads_to_itself_is_unreadable(tmp_path: Path) -> None:
    make_loop(tmp_path / "store")
    with pytest.raises(StoreUnreadable, match="leads back to itself"):
        catalog_of(tmp_path / "store")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions hold: the superuser is nobody for a while, and others are as they are."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def open_root() -> Iterator[Path]:
    """As `root`, in a folder that everybody may enter."""
    root = Path(tempfile.mkdtemp())
    for name in ("left", "right"):
        for _ in range(3):
            add_version(root, name)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
    yield root
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(root)


@pytest.mark.parametrize(
    ("path", "entry", "n_whole"),
    [
        ("left/3/manifest.json", "left/3", 5),
        ("left/3", "left/3", 5),
        ("left", "left", 3),
        ("left/aliases.json", "left/aliases.json", 6),
        ("left/last_version.json", "left/last_version.json", 6),
        ("default.json", "default.json", 6),
    ],
)
def test_what_may_not_be_read_is_named(open_root: Path, path: str, entry: str, n_whole: int) -> None:
    catalog = catalog_of(open_root)
    catalog.set_alias("left", "champion", 1)
    catalog.set_default("right")
    for file in (open_root / "left" / "aliases.json", open_root / "default.json"):
        file.chmod(0o644)
    (open_root / path).chmod(0)
    with unprivileged():
        fresh = catalog_of(open_root)
        assert whole(fresh) == n_whole
        assert "not permitted" in reasons(fresh, entry)
        assert {damage.entry for damage in fresh.damaged} == {entry}
        # What was read before goes on being served, and is named nevertheless.
        catalog.refresh()
        assert sum(len(model.versions) for model in catalog.models()) == 6


def test_a_store_that_may_not_be_read_is_unreadable(open_root: Path) -> None:
    open_root.chmod(0)
    with unprivileged(), pytest.raises(StoreUnreadable, match="not permitted"):
        catalog_of(open_root)
