"""Checks uploads, and mends what can be mended without a loss: nothing is deleted but remains."""

import shutil
import time
from functools import partial
from pathlib import Path

from service.datasets.dataset_folder import PLACE
from service.datasets.dataset_ids import is_upload
from service.datasets.panel_files import DAMAGES, load_facts, load_panel
from service.datasets.quota import INLINE, STAGING
from service.datasets.replacement import ASIDE as LEFT_ASIDE
from service.datasets.shared_store import SharedDatasets
from service.datasets.shared_uploads import DATA, USED, DamagedUpload, Pointer, SharedUploads
from service.datasets.store import DatasetStore
from service.storage.digest import digest_file
from service.storage.disk_errors import is_disk_error, storing
from service.storage.finding import Repair, newest_change
from service.storage.private_files import make_folder

ASIDE = ".damaged"


def check_datasets(store: DatasetStore, repair: Repair) -> int:
    """Checks all uploads and the series of jobs, and mends what `repair` wants mended. Returns how many there are.

    Raises:
        StorageUnavailable.
    """
    with storing(PLACE):
        if isinstance(store, SharedDatasets):
            return check_shared_uploads(store.uploads, store.root, repair)
        for name in store.list_aside():
            mend = partial(store.recover, name)
            repair.note(f"upload {name}", "was left aside by an interrupted replacement", "puts it back", mend)
        return check_uploads(store.root, repair)


def check_uploads(root: Path, repair: Repair) -> int:
    """Checks the uploads, and the series of jobs, in a folder. Returns how many there are. Raises OSError."""
    n_uploads = 0
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if not is_upload(path.name):
            continue
        n_uploads += 1
        reason = _find_damage(path)
        if reason is not None:
            mend = partial(_set_aside, root, path)
            repair.note(f"upload {path.name}", reason, f"moves it into {ASIDE}", mend)
    for path in sorted((root / STAGING).iterdir()) if (root / STAGING).is_dir() else []:
        is_upload_aside = path.name.endswith(LEFT_ASIDE) and is_upload(path.name.removesuffix(LEFT_ASIDE))
        if not is_upload_aside and repair.is_old(newest_change(path)):
            mend = partial(shutil.rmtree, path, ignore_errors=True)
            repair.note(f"upload {STAGING}/{path.name}", "was left by an interrupted upload", "removes it", mend)
    return n_uploads


def check_shared_uploads(uploads: SharedUploads, root: Path, repair: Repair) -> int:
    """Checks the uploads of an object store, for which this machine's copies are in a folder. Returns how many.

    Raises:
        StorageUnavailable, OSError.
    """
    names = uploads.list_names()
    live: dict[str, str | None] = {}
    for name in names:
        entry = f"upload {name}"
        try:
            pointer, _ = uploads.find(name)
        except DamagedUpload as error:
            live[name] = None
            repair.note(entry, f"{error} in the object store. Delete it and upload it again")
            continue
        live[name] = pointer.generation
        reason = _compare(uploads, name, pointer, root)
        if reason is None:
            continue
        if _is_whole(root / name, pointer):
            mend = partial(_put_again, uploads, name, root / name, pointer)
            repair.note(entry, reason, "uploads this machine's copy, which is whole", mend)
        else:
            repair.note(entry, f"{reason}, and this machine has no whole copy. Delete it and upload it again")
    _check_remains(uploads, live, repair)
    return len(names)


def _find_damage(path: Path) -> str | None:
    try:
        load_panel(path, mapped=True)
        if not path.name.startswith(INLINE):
            load_facts(path)
    except FileNotFoundError as error:
        return f"lacks {Path(error.filename or '').name}"
    except OSError as error:
        if is_disk_error(error.errno):
            raise
        return "holds something else than was written"
    except DAMAGES:
        return "holds something else than was written"
    return None


def _compare(uploads: SharedUploads, name: str, pointer: Pointer, root: Path) -> str | None:
    """What is wrong with an upload's objects."""
    scratch = root / STAGING / f"check-{name}"
    make_folder(scratch)
    try:
        uploads.fetch(name, pointer, scratch)
    except DamagedUpload as error:
        return f"{error} in the object store"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return None


def _is_whole(folder: Path, pointer: Pointer) -> bool:
    try:
        return all(digest_file(folder / file) == digest for file, digest in pointer.files.items())
    except OSError:
        return False


def _put_again(uploads: SharedUploads, name: str, folder: Path, pointer: Pointer) -> None:
    for file in pointer.files:
        uploads.storage.upload(folder / file, f"{DATA}/{name}/{pointer.generation}/{file}")


def _check_remains(uploads: SharedUploads, live: dict[str, str | None], repair: Repair) -> None:
    """Objects that no upload names."""
    for folder, objects in sorted(uploads.find_orphans(live).items()):
        if repair.is_old(max(facts.modified_at for facts in objects)):
            mend = partial(uploads.storage.delete, [facts.key for facts in objects])
            message = f"has {len(objects)} objects that an interrupted upload or deletion left"
            repair.note(f"upload {folder}", message, "removes them", mend)
    for facts in uploads.storage.list_objects(USED):
        name = facts.key.removeprefix(f"{USED}/")
        if name not in live and repair.is_old(facts.modified_at):
            repair.note(
                f"upload {name}", "is deleted", "removes its mark", partial(uploads.storage.delete, [facts.key])
            )


def _set_aside(root: Path, path: Path) -> None:
    make_folder(root / ASIDE)
    path.rename(root / ASIDE / f"{path.name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
