"""Publishes a staged SavedModel as a version: atomically, once per job, under a number never used before."""

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson

from service.storage.digest import digest_file
from service.storage.disk_errors import storing
from service.storage.durability import flush_file, flush_folder
from service.storage.regular_files import read_regular
from service.store.layout import (
    COUNTER,
    MANIFEST,
    MOST_VERSION,
    PLACE,
    STAGING,
    is_name,
    locked,
    make_model_folder,
    make_staging,
    model_folder,
    open_up,
    parse_version,
    write_atomically,
)
from service.store.manifest import Manifest
from service.store.small_files import MOST_MANIFEST_BYTES, MOST_SMALL_BYTES, parse_object, read_aliases, read_counter

logger = logging.getLogger(__name__)


def staging(root: Path, job_id: str) -> Path:
    """An empty folder, in the store's own file system, for what a job will publish.

    What an earlier attempt of the same job left there is removed.

    Raises:
        ValueError: the id can't be a folder's name.
        StorageUnavailable: the store can't be written.
    """
    if not is_name(job_id):
        raise ValueError(f"not a job's id: {job_id!r}")
    with storing(PLACE):
        folder = make_staging(root) / job_id
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    return folder


def sweep(root: Path, *, older_than_seconds: float = 86_400.0) -> None:
    """Removes what jobs and deletions that were interrupted left behind; what is younger may still be in use."""
    for folder in (root / STAGING).glob("*"):
        try:
            age_seconds = time.time() - folder.stat().st_mtime
        except OSError:  # another process was faster, or nobody may
            continue
        if age_seconds >= older_than_seconds:
            shutil.rmtree(folder, ignore_errors=True)


def publish_packaged(root: Path, staged: Path, manifest: Manifest) -> Manifest | None:
    """As `publish`, of a version that lies in the package and that the store lacks: `lacks_packaged`; else None."""
    model = model_folder(root, manifest.name)
    with storing(PLACE), locked(make_model_folder(root, manifest.name)):
        if not lacks_packaged(root, manifest):
            return None
        is_first = find_last_version(model) == 0
        try:
            return _publish(model, staged, manifest)
        except BaseException:
            # Its number was not used: another start tries again.
            if is_first and not (model / "1").exists():
                (model / COUNTER).unlink(missing_ok=True)
            raise


def publish(root: Path, staged: Path, manifest: Manifest) -> Manifest:
    """Turns a staged folder into the next version of the manifest's model.

    A job publishes once: where its version is there already, that is returned, and what is staged stays.

    Args:
        staged: a folder of `staging`, holding the SavedModel.
        manifest: all facts but `version` and `files`.

    Returns:
        The manifest as it was published.

    Raises:
        StorageUnavailable: the store can't be written.
    """
    # A name that is no model's may lead out of the store.
    model = model_folder(root, manifest.name)
    with storing(PLACE), locked(make_model_folder(root, manifest.name)):
        # A run that was thought dead may have been faster, or slower, than its successor.
        known = None if manifest.job_id is None else find_by_job(root, manifest.name, manifest.job_id)
        return _publish(model, staged, manifest) if known is None else known


def _publish(model: Path, staged: Path, manifest: Manifest) -> Manifest:
    """What `publish` does while it holds the model."""
    version = find_last_version(model) + 1
    # The number is spent before it is used: a crash between the two wastes it, never gives it out twice.
    write_atomically(model / COUNTER, orjson.dumps({"last_version": version}))
    published = replace(manifest, version=version, files=digest_files(staged))
    (staged / MANIFEST).write_bytes(published.to_json())
    open_up(staged, model)
    _flush(staged)
    staged.rename(model / str(version))
    flush_folder(model)
    return published


def lacks_packaged(root: Path, manifest: Manifest) -> bool:
    """Whether a version of the package should be published: the model never had one, or only others of the package.

    Where somebody trained a version under its name, or deleted the newest, nothing is added.
    """
    model = model_folder(root, manifest.name)
    last = find_last_version(model)
    if last == 0:
        return True
    present = list(_manifests(model))
    return (
        any(one.version == last for one in present)
        and all(one.job_id is None for one in present)
        and all(one.data.get("digest") != manifest.data.get("digest") for one in present)
    )


def find_by_job(root: Path, name: str, job_id: str) -> Manifest | None:
    """The version that a job has published already, if it has."""
    return next((m for m in _manifests(model_folder(root, name)) if m.job_id == job_id), None)


def digest_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in the folder but the manifest, by its path inside it."""
    return {
        path.relative_to(folder).as_posix(): digest_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }


def find_last_version(model: Path) -> int:
    """The highest number ever given out: deletion must not free it, nor damage."""
    numbers = [parse_version(path.name) or 0 for path in model.glob("*")]
    try:
        counted = read_counter(parse_object(read_regular(model / COUNTER, MOST_SMALL_BYTES)))
    except FileNotFoundError:
        counted = 0
    except (OSError, ValueError):
        counted = None
    if counted is None:
        # An alias may lead to one that is gone.
        numbers += [number for number in read_aliases(model).values() if number <= MOST_VERSION]
        logger.error("%s/%s is damaged: numbers go on from the highest version that is there", model.name, COUNTER)
    return max([*numbers, counted or 0])


def _manifests(model: Path) -> Iterator[Manifest]:
    """Those that can be read."""
    for path in model.glob("*"):
        if parse_version(path.name) is not None:
            with contextlib.suppress(OSError, ValueError):
                yield Manifest.from_json(read_regular(path / MANIFEST, MOST_MANIFEST_BYTES))


def _flush(folder: Path) -> None:
    """Makes all files of a folder durable, then the folders that name them."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            flush_file(path)
        else:
            flush_folder(path)
    flush_folder(folder)
