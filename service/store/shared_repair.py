"""Checks the models of an object store, and mends what can be mended without a loss."""

import time
from collections.abc import Collection
from functools import partial
from pathlib import Path

from service.errors import StorageUnavailable, VersionDamaged
from service.storage.finding import Repair
from service.storage.object_storage import ObjectFacts
from service.store.catalog import Catalog
from service.store.fetch import Fetch, StoredVersion
from service.store.layout import ASIDE, DEFAULT, MANIFEST, is_name, make_staging, parse_version
from service.store.mirror import Mirror
from service.store.shared_models import BEFORE_MODELS, STATES, SharedModels, find_versions, state_key
from service.store.shared_state import ModelState


def check_shared(mirror: Mirror, repair: Repair) -> int:
    """Checks all objects of all models, and this machine's copy. Returns how many versions there are.

    Raises:
        StorageUnavailable.
    """
    models = mirror.models
    objects = models.storage.list_objects(after=BEFORE_MODELS)
    listed = find_versions(objects)
    folders = _group(objects)
    names = {*listed, *(name for name in models.list_states() if name), *(name for name, _ in folders)}
    n_versions = 0
    for name in sorted(names):
        try:
            state = models.read(name)[0]
        except StorageUnavailable as error:
            repair.note(state_key(name), error.message)
            continue
        numbers = state.numbers(listed.get(name, ()))
        n_versions += len(numbers)
        _check_orphans(models, name, state, numbers, folders, repair)
        for number in numbers:
            _check_version(mirror, name, number, state, repair)
        _check_aliases(models, name, state, numbers, repair)
    _check_default(models, listed, repair)
    mirror.forget_refusals()
    mirror.refresh(deep=True)
    _check_copy(mirror, repair)
    return n_versions


def _group(objects: Collection[ObjectFacts]) -> dict[tuple[str, int], list[ObjectFacts]]:
    """The objects of each version, whether or not it is one."""
    folders: dict[tuple[str, int], list[ObjectFacts]] = {}
    for facts in objects:
        name, _, rest = facts.key.partition("/")
        number = parse_version(rest.partition("/")[0])
        if is_name(name) and number is not None:
            folders.setdefault((name, number), []).append(facts)
    return folders


def _check_orphans(
    models: SharedModels,
    name: str,
    state: ModelState,
    numbers: Collection[int],
    folders: dict[tuple[str, int], list[ObjectFacts]],
    repair: Repair,
) -> None:
    """What interrupted publications and deletions left."""
    found = {number for model, number in folders if model == name} - set(numbers)
    for number in sorted({*found, *state.claims}):
        objects = folders.get((name, number), [])
        claim = state.claims.get(number)
        changes = [facts.modified_at for facts in objects] + ([] if claim is None else [claim.claimed_at])
        entry = f"{name}/{number}"
        left = f"{len(objects)} objects are left of it"
        if number in state.deleted:
            mend = partial(models.storage.delete, [facts.key for facts in objects])
            repair.note(entry, f"was deleted; {left}", "removes them", mend)
        elif not repair.is_old(max(changes)):
            # A publication, or a copy by hand, may be in progress.
            continue
        elif claim is not None:
            repair.note(entry, f"was never published; {left}", "removes them", partial(_drop, models, name, number))
        elif state.versions or numbers:
            mend = partial(_set_aside, models, objects)
            repair.note(entry, f"has no {MANIFEST}", f"moves its objects to {ASIDE}/", mend)


def _drop(models: SharedModels, name: str, number: int) -> None:
    models.change(name, lambda state: (state.remove([number]), None))
    models.storage.delete([facts.key for facts in models.storage.list_objects(f"{name}/{number}")])


def _set_aside(models: SharedModels, objects: Collection[ObjectFacts]) -> None:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    for facts in objects:
        models.storage.move(facts.key, f"{ASIDE}/{stamp}/{facts.key}")


def _check_version(mirror: Mirror, name: str, number: int, state: ModelState, repair: Repair) -> None:
    version = StoredVersion(name, number, state.digest(number))
    fetch = Fetch(mirror.models.storage, mirror.root)
    with mirror.scratch() as scratch:
        try:
            fetch.check(version, scratch)
            return
        except VersionDamaged as error:
            reason = f"{error.message} in the object store"
    manifest = fetch.read_whole(version)
    note = partial(repair.note, version.entry, model=name, version=number)
    if manifest is None:
        reason += "; this machine has no whole copy: run this on one that has, delete the version, or train it again"
        note(reason)
        return
    mend = partial(_upload, mirror.models, mirror.root / name / str(number), [*manifest.files, MANIFEST], version.entry)
    note(reason, "uploads this machine's copy, which is whole", mend)


def _upload(models: SharedModels, folder: Path, paths: Collection[str], entry: str) -> None:
    for path in paths:
        models.storage.upload(folder / path, f"{entry}/{path}")


def _check_aliases(
    models: SharedModels, name: str, state: ModelState, numbers: Collection[int], repair: Repair
) -> None:
    for alias, number in sorted(state.aliases.items()):
        if number not in numbers:
            message = f"leads {alias!r} to version {number}, which is missing"
            repair.note(
                state_key(name), message, "removes the alias", partial(_drop_alias, models, name, alias, number)
            )


def _drop_alias(models: SharedModels, name: str, alias: str, number: int) -> None:
    def drop(state: ModelState) -> tuple[ModelState, None]:
        return (state.unpoint(alias) if state.aliases.get(alias) == number else state), None

    models.change(name, drop)


def _check_default(models: SharedModels, listed: dict[str, set[int]], repair: Repair) -> None:
    default = models.read_default()
    if default is not None and default not in listed:
        keys = [f"{STATES}/{DEFAULT}", DEFAULT]
        message = f"names {default!r}, which has no version"
        repair.note(f"{STATES}/{DEFAULT}", message, "removes it", partial(models.storage.delete, keys))


def _check_copy(mirror: Mirror, repair: Repair) -> None:
    """This machine's copy, which can always be fetched again."""
    catalog = Catalog(mirror.root)
    catalog.refresh()
    for entry in catalog.models():
        for manifest in entry.versions:
            try:
                catalog.verify(manifest)
            except VersionDamaged as error:
                place = f"copy of {manifest.name}/{manifest.version}"
                repair.note(place, error.message, "fetches its files again", partial(mirror.heal, manifest))
    staging = make_staging(mirror.root)
    for path in sorted(staging.glob("*")):
        if repair.is_old(path.stat().st_mtime):
            repair.note(
                f"copy: {path.name}", "was left by an interrupted job", "removes it", partial(mirror.remove, path)
            )
