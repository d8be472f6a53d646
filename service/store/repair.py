"""Checks a store's folder, and mends what can be mended without a loss: nothing is deleted but remains."""

import shutil
import time
from functools import partial
from pathlib import Path

import orjson

from service.errors import VersionDamaged
from service.storage.digest import digest_file
from service.storage.finding import Repair, newest_change
from service.store.catalog import Catalog
from service.store.damage_record import Damage
from service.store.layout import (
    ALIASES,
    ASIDE,
    COUNTER,
    DEFAULT,
    MANIFEST,
    STAGING,
    is_name,
    locked,
    model_folder,
    write_atomically,
)
from service.store.manifest import Manifest
from service.store.publish import find_last_version
from service.store.small_files import read_aliases

LOCK_SECONDS = 10.0
ASIDE_WORDS = f"moves it into {ASIDE}"


def check_folder(root: Path, repair: Repair) -> int:
    """Checks all entries of a store's folder, and all files of its versions. Returns how many versions there are.

    Raises:
        StoreUnreadable: the folder can't be listed.
        OSError: something can't be mended.
    """
    catalog = Catalog(root)
    catalog.refresh()
    n_versions = len({(damage.model, damage.version) for damage in catalog.damaged if damage.version is not None})
    for entry in catalog.models():
        for manifest in entry.versions:
            n_versions += not any((d.model, d.version) == (manifest.name, manifest.version) for d in catalog.damaged)
            _check_version(root, catalog, manifest, repair)
    for damage in catalog.damaged:
        if damage.version is not None:
            _note_version(root, damage, repair)
    # What leads to a version that is set aside now leads nowhere.
    catalog.refresh()
    seen: set[str] = set()
    for damage in catalog.damaged:
        is_other = damage.version is None and damage.entry not in seen
        if is_other and _note_other(root, damage, catalog, repair):
            seen.add(damage.entry)
    _check_remains(root, repair)
    return n_versions


def _check_version(root: Path, catalog: Catalog, manifest: Manifest, repair: Repair) -> None:
    try:
        catalog.verify(manifest)
    except VersionDamaged as error:
        entry = f"{manifest.name}/{manifest.version}"
        _note_version(root, Damage(entry, error.message, manifest.name, manifest.version), repair)


def _note_version(root: Path, damage: Damage, repair: Repair) -> None:
    assert damage.model is not None
    path = model_folder(root, damage.model) / str(damage.version)
    note = partial(repair.note, damage.entry, model=damage.model, version=damage.version)
    if not _is_readable(path):
        note(damage.reason)
    elif not (path / MANIFEST).exists() and not repair.is_old(newest_change(path)):
        note(f"{damage.reason}; it is too young to be taken for remains")
    else:
        note(damage.reason, ASIDE_WORDS, partial(_set_version_aside, root, path))


def _note_other(root: Path, damage: Damage, catalog: Catalog, repair: Repair) -> bool:
    """Takes down what is no version; returns whether all that is wrong with the same file is mended by it."""
    place, _, file = damage.entry.rpartition("/")
    folder = root / place if is_name(place) else root
    path = folder / file
    if file == ALIASES and damage.alias is not None:
        number = read_aliases(folder).get(damage.alias)
        if number is not None and (folder / str(number)).exists():
            # Its version may be restored.
            repair.note(damage.entry, damage.reason)
            return False
        repair.note(damage.entry, damage.reason, "removes the alias", partial(_drop_alias, folder, damage.alias))
        return False
    if file == COUNTER and _is_readable(path):
        repair.note(damage.entry, damage.reason, "counts anew from what is there", partial(_count_anew, folder))
        return True
    if file in (ALIASES, DEFAULT) and _is_readable(path) and _holds_nothing(path, catalog):
        repair.note(damage.entry, damage.reason, ASIDE_WORDS, partial(_set_aside, root, path))
        return True
    repair.note(damage.entry, damage.reason, model=damage.model)
    return False


def _holds_nothing(path: Path, catalog: Catalog) -> bool:
    """Whether a small file says nothing that can be used; the default model may only be damaged now."""
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return True
    name = content.get("name") if isinstance(content, dict) else None
    return not isinstance(content, dict) or (path.name == DEFAULT and not any(d.model == name for d in catalog.damaged))


def _check_remains(root: Path, repair: Repair) -> None:
    """What interrupted jobs, deletions and writes left."""
    for path in sorted((root / STAGING).glob("*")):
        if repair.is_old(newest_change(path)):
            repair.note(
                f"{STAGING}/{path.name}", "was left by an interrupted job", "removes it", partial(_remove, path)
            )
    for path in sorted([*root.glob(".*.tmp"), *root.glob("*/.*.tmp")]):
        if path.is_file() and repair.is_old(newest_change(path)):
            entry = path.relative_to(root).as_posix()
            repair.note(entry, "was left by an interrupted write", "removes it", partial(_remove, path))


def _is_readable(path: Path) -> bool:
    """Whether all that a path holds can be read: what can't may be sound."""
    try:
        for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
            if file.is_file():
                digest_file(file)
            elif file.is_dir():
                next(file.iterdir(), None)
            else:
                # A link to nothing, a FIFO: nothing is lost with its place.
                file.lstat()
    except OSError:
        return False
    return True


def _set_aside(root: Path, path: Path) -> None:
    with locked(path.parent, LOCK_SECONDS):
        path.rename(_make_place(root, path.relative_to(root).as_posix().replace("/", "-")))


def _set_version_aside(root: Path, path: Path) -> None:
    with locked(path.parent, LOCK_SECONDS):
        # Its number stays given out.
        write_atomically(path.parent / COUNTER, orjson.dumps({"last_version": find_last_version(path.parent)}))
        path.rename(_make_place(root, f"{path.parent.name}-{path.name}"))


def _make_place(root: Path, name: str) -> Path:
    aside = root / ASIDE
    aside.mkdir(exist_ok=True)
    return aside / f"{name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"


def _drop_alias(folder: Path, alias: str) -> None:
    with locked(folder, LOCK_SECONDS):
        aliases = {name: number for name, number in read_aliases(folder).items() if name != alias}
        write_atomically(folder / ALIASES, orjson.dumps(aliases, option=orjson.OPT_INDENT_2))


def _count_anew(folder: Path) -> None:
    with locked(folder, LOCK_SECONDS):
        write_atomically(folder / COUNTER, orjson.dumps({"last_version": find_last_version(folder)}))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
