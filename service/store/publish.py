"""Makes a staged SavedModel a version: whole or not at all, once for each job, under a number never used before."""

import hashlib
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import orjson

from service.store.layout import (
    COUNTER,
    MANIFEST,
    STAGING,
    flush_folder,
    is_name,
    locked,
    model_folder,
    parse_version,
    write_atomically,
)
from service.store.manifest import Manifest


def staging(root: Path, job_id: str) -> Path:
    """An empty folder, in the store's own file system, for what a job will publish.

    What an earlier attempt of the same job left there is removed.

    Raises:
        ValueError: the id can't be a folder's name.
    """
    if not is_name(job_id):
        raise ValueError(f"not a job's id: {job_id!r}")
    folder = root / STAGING / job_id
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def sweep(root: Path, *, older_than_seconds: float = 86_400.0) -> None:
    """Removes what jobs and deletions that were interrupted left behind; what is younger may still be in use."""
    for folder in (root / STAGING).glob("*"):
        try:
            age_seconds = time.time() - folder.stat().st_mtime
        except FileNotFoundError:  # another process was faster
            continue
        if age_seconds >= older_than_seconds:
            shutil.rmtree(folder, ignore_errors=True)


def publish(root: Path, staged: Path, manifest: Manifest) -> Manifest:
    """Turns a staged folder into the next version of the manifest's model.

    Args:
        staged: a folder of `staging`, holding the SavedModel.
        manifest: all facts but `version` and `files`.

    Returns:
        The manifest as it was published.
    """
    model = model_folder(root, manifest.name)
    with locked(model):
        version = max(_last_version(model), *(v.version for v in _manifests(model)), 0) + 1
        # The number is spent before it is used: a crash between the two wastes it, never gives it out twice.
        write_atomically(model / COUNTER, orjson.dumps({"last_version": version}))
        published = replace(manifest, version=version, files=digest_files(staged))
        (staged / MANIFEST).write_bytes(published.to_json())
        _flush(staged)
        staged.rename(model / str(version))
        flush_folder(model)
    return published


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


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _last_version(model: Path) -> int:
    """The highest number ever given out: deletion must not free it."""
    try:
        return int(orjson.loads((model / COUNTER).read_bytes())["last_version"])
    except FileNotFoundError:
        return max((parse_version(path.name) or 0 for path in model.glob("*")), default=0)


def _manifests(model: Path) -> list[Manifest]:
    return [
        Manifest.from_json((path / MANIFEST).read_bytes())
        for path in model.glob("*")
        if parse_version(path.name) is not None and (path / MANIFEST).is_file()
    ]


def _flush(folder: Path) -> None:
    """Makes all files of a folder durable, then the folders that name them."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            flush_folder(path)
    flush_folder(folder)
