"""A folder that follows the object store: this machine's copy of its models, which the catalog reads as any store.

What the object store refuses or has lost leaves the copy as it is. Processes of one machine share the copy: one of them
looks, and writes down what it met, for the others to tell as well.
"""

import contextlib
import shutil
import threading
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import orjson

from service.errors import StorageUnavailable, VersionDamaged
from service.storage.disk_errors import storing
from service.store.fetch import Fetch, StoredVersion
from service.store.layout import (
    ALIASES,
    COUNTER,
    DEFAULT,
    PLACE,
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
from service.store.mirror_record import LookRecord, read_record, write_record
from service.store.shared_models import STATES, SharedModels, StateDamaged, state_key
from service.store.shared_state import ModelState
from service.store.small_files import MOST_SMALL_BYTES, read_aliases

# All objects are listed, and this machine's files looked at, for what was changed by hand.
DEEP_SECONDS = 60.0
# A version whose objects are not what was published is asked for again.
RETRY_SECONDS = 60.0
LOCK_SECONDS = 30.0
# What was fetched is looked at once more; only who publishes faster than that is met later.
MOST_ROUNDS = 5


class Mirror:
    """Brings what the object store holds into a folder. Safe for several threads and processes."""

    def __init__(self, models: SharedModels, root: Path) -> None:
        self.models = models
        self.root = root
        self._fetch = Fetch(models.storage, root)
        # What was read, by model, and what changes with it in a list of the object store: None where the model has no
        # state of its own yet.
        self._states: dict[str, tuple[str | None, ModelState]] = {}
        self._default: tuple[str | None, str | None] = ("not read yet", None)
        self._listed: dict[str, set[int]] = {}
        self._listed_at: float | None = None
        self._turn = threading.Lock()

    @property
    def place(self) -> str:
        return self.models.storage.url

    @property
    def record(self) -> LookRecord:
        """What the last looks of this machine met."""
        return read_record(self.root)

    def refresh(
        self, names: Collection[str] | None = None, *, deep: bool = False, patience_seconds: float | None = None
    ) -> None:
        """Brings everything, or some models, up to date, and returns when it is there.

        Args:
            names: models; None for all.
            deep: also look for what was changed by hand.
            patience_seconds: how long it waits for what another thread or process fetches; None for as long as needed.

        Raises:
            StorageUnavailable: the object store can't be asked, or the disk not be written.
        """
        try:
            for _ in range(MOST_ROUNDS):
                missing = self._settle(names, deep, patience_seconds)
                deep = False
                if not missing:
                    break
                with storing(PLACE), locked(self.root / ".fetching", patience_seconds):
                    for version in missing:
                        self._bring(version)
        except StorageUnavailable as failure:
            message = failure.message
            write_record(self.root, lambda record: record.failed(message, time.time()))
            raise
        is_all = names is None
        write_record(self.root, lambda record: record.succeeded(time.time()) if is_all else record.recovered())

    def heal(self, manifest: Manifest) -> None:
        """Replaces files of a version that are not what was published.

        Raises:
            VersionDamaged: those in the object store are not either; the message is a clause about the version.
            StorageUnavailable.
        """
        with storing(PLACE), self.scratch() as scratch:
            self._fetch.mend(manifest, scratch)

    def forget_refusals(self) -> None:
        """Asks at the next look again for what was refused."""
        write_record(self.root, lambda record: replace(record, damaged={}))

    def adopt(self, staged: Path, manifest: Manifest) -> None:
        """Makes a folder that was just published this machine's copy, which spares the download."""
        with storing(PLACE), locked(self.root, LOCK_SECONDS):
            target = make_model_folder(self.root, manifest.name) / str(manifest.version)
            if not target.exists():
                open_up(staged, target.parent)
                staged.rename(target)

    def _settle(self, names: Collection[str] | None, deep: bool, patience_seconds: float | None) -> list[StoredVersion]:
        """Removes what is gone, writes down aliases and the default, and tells which versions are to be fetched."""
        with storing(PLACE), self._taking_turn(patience_seconds), locked(self.root, LOCK_SECONDS):
            self._read_states()
            if deep or self._listed_at is None or time.monotonic() - self._listed_at >= DEEP_SECONDS:
                self._listed = self.models.list_versions()
                self._listed_at = time.monotonic()
                self._fetch.forget()
                # What speaks for a model without a state may have been changed by hand too.
                for name in [name for name, (tag, _) in self._states.items() if tag is None]:
                    del self._states[name]
            record = self.record
            missing: list[StoredVersion] = []
            for name in sorted({*self._states, *self._listed, *self._present()} if names is None else names):
                missing += self._settle_model(name, record)
            if self._default[1] is None:
                (self.root / DEFAULT).unlink(missing_ok=True)
            else:
                _write(self.root / DEFAULT, {"name": self._default[1]})
            return missing

    @contextlib.contextmanager
    def _taking_turn(self, patience_seconds: float | None) -> Iterator[None]:
        """One thread of a process looks at a time. Raises StorageUnavailable: another one looks for too long."""
        if not self._turn.acquire(timeout=LOCK_SECONDS if patience_seconds is None else patience_seconds):
            raise StorageUnavailable(f"The {self.models.storage.place} is slow to answer. Try again later.")
        try:
            yield
        finally:
            self._turn.release()

    def _read_states(self) -> None:
        """Reads those states again that have changed."""
        tags = self.models.list_states()
        default_tag = tags.pop("", None)
        for name in [name for name, (tag, _) in self._states.items() if tag is not None and name not in tags]:
            del self._states[name]
        damaged = {entry for entry in self.record.damaged if entry.startswith(STATES)}
        for name, tag in tags.items():
            if name not in self._states or self._states[name][0] != tag:
                try:
                    self._states[name] = (tag, self.models.read(name)[0])
                except StateDamaged:
                    # What is known of the model stays, and the others go on.
                    self._refuse(state_key(name), "is damaged", retry_at=0.0)
                    continue
            if state_key(name) in damaged:
                self._mend_record(state_key(name))
        if self._default[0] != default_tag:
            self._default = (default_tag, self.models.read_default())

    def _settle_model(self, name: str, record: LookRecord) -> list[StoredVersion]:
        listed = self._listed.get(name, set())
        if name not in self._states:
            if state_key(name) in record.damaged:
                return []
            if not listed:
                self.remove(model_folder(self.root, name))
                return []
            # It was copied there by hand.
            self._states[name] = (None, self.models.read(name)[0])
        state = self._states[name][1]
        wanted = state.numbers(listed)
        folder = make_model_folder(self.root, name) if wanted else model_folder(self.root, name)
        for number in _numbers(folder) - set(wanted):
            self.remove(folder / str(number))
        self._forget_refusals(name, wanted, record)
        if not folder.exists():
            return []
        versions = [StoredVersion(name, number, state.digest(number)) for number in wanted]
        now = time.time()
        missing = [one for one in versions if record.may_fetch(one.entry, now) and not self._fetch.is_here(one)]
        _write(folder / ALIASES, self._choose_aliases(folder, state, {version.number for version in missing}))
        _write(folder / COUNTER, {"last_version": max([state.last_version, *wanted, *state.deleted])})
        # What requests ask for comes first.
        named = set(state.aliases.values())
        return sorted(missing, key=lambda version: (version.number not in named, -version.number))

    def _choose_aliases(self, folder: Path, state: ModelState, coming: set[int]) -> dict[str, int]:
        """The aliases; one whose version is still to come stays where it was, and goes on serving."""
        before, present = read_aliases(folder), _numbers(folder)
        return {
            alias: before[alias] if number in coming and before.get(alias) in present else number
            for alias, number in state.aliases.items()
        }

    def _forget_refusals(self, name: str, wanted: Collection[int], record: LookRecord) -> None:
        """What was refused and is deleted now is no damage any more."""
        for entry in record.damaged:
            model, _, number = entry.partition("/")
            if model == name and parse_version(number) not in wanted:
                self._mend_record(entry)

    def _bring(self, version: StoredVersion) -> None:
        """Brings a version here: whole and as it was published, or not at all."""
        if self._fetch.is_here(version):
            return
        with self.scratch() as scratch:
            try:
                staged = self._fetch.fetch(version, scratch)
            except VersionDamaged as error:
                self._refuse(version.entry, error.message, time.time() + RETRY_SECONDS)
                return
            with locked(self.root, LOCK_SECONDS):
                target = make_model_folder(self.root, version.name) / str(version.number)
                self.remove(target)
                open_up(staged, target.parent)
                staged.rename(target)
        self._mend_record(version.entry)

    def _refuse(self, entry: str, reason: str, retry_at: float) -> None:
        write_record(self.root, lambda record: record.refused(entry, reason, retry_at))

    def _mend_record(self, entry: str) -> None:
        write_record(self.root, lambda record: record.mended(entry))

    def _present(self) -> list[str]:
        return [path.name for path in self.root.iterdir() if is_name(path.name) and path.is_dir()]

    def remove(self, folder: Path) -> None:
        """Hides a folder at once, where there is one, then removes it."""
        trash = make_staging(self.root) / f"deleted-{uuid.uuid4().hex}"
        with contextlib.suppress(FileNotFoundError):
            folder.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what is on its way, removed in the end."""
        folder = make_staging(self.root) / f"fetch-{uuid.uuid4().hex}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _numbers(folder: Path) -> set[int]:
    """The versions in a model's folder."""
    try:
        return {number for path in folder.iterdir() if (number := parse_version(path.name)) is not None}
    except FileNotFoundError:
        return set()


def _write(path: Path, values: Mapping[str, object]) -> None:
    """Writes a small file, if it says something else."""
    content = orjson.dumps(values, option=orjson.OPT_INDENT_2)
    with contextlib.suppress(OSError):
        if path.stat().st_size <= MOST_SMALL_BYTES and path.read_bytes() == content:
            return
    write_atomically(path, content)
