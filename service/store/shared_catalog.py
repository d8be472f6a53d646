"""The catalog of a store that many machines share: read from this machine's copy, changed in the object store."""

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from service.errors import StorageUnavailable, StoreUnreadable, VersionDamaged, VersionNotFound
from service.store.catalog import CHAMPION, Catalog, check_alias, make_alias_in_use
from service.store.damage_scan import Picture
from service.store.manifest import Manifest
from service.store.mirror import Mirror
from service.store.publish import sweep
from service.store.shared_state import ModelState

logger = logging.getLogger(__name__)

# A list of the states is one request for a thousand models.
LOOK_SECONDS = 1.0
# A client that asks for what is not there makes no more looks than these.
CATCH_UP_SECONDS = 0.3
CATCH_UP_PATIENCE_SECONDS = 5.0
LEADER = ".leader.lock"


class SharedCatalog(Catalog):
    """A `Catalog` that follows an object store while it is open, and changes it for all machines."""

    def __init__(self, mirror: Mirror) -> None:
        super().__init__(mirror.root)
        self.mirror = mirror
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._caught_up_at = 0.0
        self._catching_up = threading.Lock()

    def open(self) -> None:
        """Follows the object store from now on, in a thread; one process of a machine does."""
        self._thread = threading.Thread(target=self._follow, name="model-store", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    @property
    def failures(self) -> int:
        """How many looks at the object store have failed."""
        return self.mirror.record.n_failures

    @property
    def age_seconds(self) -> float:
        """How long ago the last look at the object store was that succeeded."""
        looked_at = self.mirror.record.looked_at
        return float("inf") if looked_at is None else max(0.0, time.time() - looked_at)

    def catch_up(self) -> None:
        if self._is_behind() and self._catching_up.acquire(timeout=CATCH_UP_PATIENCE_SECONDS):
            try:
                # Whoever waited takes what the look that ended meanwhile has met.
                if self._is_behind():
                    with contextlib.suppress(StorageUnavailable):
                        self.mirror.refresh(patience_seconds=CATCH_UP_PATIENCE_SECONDS)
                    self._caught_up_at = time.monotonic()
            finally:
                self._catching_up.release()
        self.refresh()

    def _is_behind(self) -> bool:
        # While the object store is away, whoever asks for what is not there is not to wait for it.
        is_away = self.mirror.record.failing_since is not None
        return not is_away and time.monotonic() - self._caught_up_at >= CATCH_UP_SECONDS

    def verify(self, manifest: Manifest, give_up: Callable[[], bool] = lambda: False) -> None:
        try:
            super().verify(manifest, give_up)
        except VersionDamaged as damage:
            try:
                self.mirror.heal(manifest)
            except VersionDamaged as error:
                raise VersionDamaged(f"{damage.message} In the object store it {error.message} too.") from damage
            except StorageUnavailable as error:
                raise VersionDamaged(f"{damage.message} It can't be fetched again now. {error.message}") from damage
            place = f"{manifest.name}/{manifest.version}"
            logger.warning("%s was damaged on this machine's disk, and is fetched again", place)
            super().verify(manifest, give_up)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        check_alias(alias)
        self._find(name, version)

        def point(state: ModelState) -> tuple[ModelState, None]:
            if version in state.deleted:
                raise VersionNotFound(f"Version {version} of {name!r} has just been deleted.")
            return state.point(alias, version), None

        self.mirror.models.change(name, point)
        self._see(name)

    def promote(self, published: Manifest) -> None:
        """Makes a version the champion, unless a later one is that already, or somebody has deleted it."""

        def promote(state: ModelState) -> tuple[ModelState, None]:
            is_late = state.aliases.get(CHAMPION, 0) >= published.version or published.version in state.deleted
            return (state if is_late else state.point(CHAMPION, published.version)), None

        self.mirror.models.change(published.name, promote)
        self._see(published.name)

    def delete_version(self, name: str, version: int) -> None:
        self._find(name, version)

        def remove(state: ModelState) -> tuple[ModelState, None]:
            using = state.naming(version)
            if using:
                raise make_alias_in_use(name, version, using[0])
            return state.remove([version]), None

        self.mirror.models.change(name, remove)
        self.mirror.models.drop(name, [version])
        self._see(name)

    def delete_model(self, name: str) -> None:
        self._look(name)
        self.model(name)
        listed = self.mirror.models.list_numbers(name)

        def clear(state: ModelState) -> tuple[ModelState, list[int]]:
            numbers = state.numbers(listed)
            return replace(state.remove(numbers), aliases={}), numbers

        self.mirror.models.drop(name, self.mirror.models.change(name, clear))
        self._see(name)

    def set_default(self, name: str) -> None:
        self._look(name)
        self.model(name)
        self.mirror.models.write_default(name)
        self._see(name)

    def _scan(self) -> Picture:
        record = self.mirror.record
        if record.looked_at is None and self._thread is not None:
            why = "" if record.error is None else f" {record.error}"
            raise StoreUnreadable(f"The model store is still being copied from {self.mirror.place}.{why}")
        picture = super()._scan()
        # Of what is refused, the copy may hold nothing, or an earlier state that is sound.
        return replace(picture, damaged=(*picture.damaged, *record.damages(self.mirror.place)))

    def _look(self, name: str) -> None:
        """Sees a model as it is in the object store now."""
        self.mirror.refresh({name})
        self.refresh()

    def _see(self, name: str) -> None:
        """As `_look` after a change, which is made whether or not it can be seen at once."""
        try:
            self._look(name)
        except StorageUnavailable as error:
            logger.warning("what was changed is seen later: %s", error.message)

    def _find(self, name: str, version: int) -> None:
        """Whether there is a version, damaged or not. Raises ModelNotFound, VersionNotFound."""
        self._look(name)
        if self._find_damage(name, version) is None:
            self.resolve(name, version)

    def _follow(self) -> None:
        pause = 0.0
        descriptor: int | None = None
        try:
            while not self._closing.wait(pause):
                pause = LOOK_SECONDS
                try:
                    descriptor = self._lead() if descriptor is None else descriptor
                    if descriptor is not None:
                        self.mirror.refresh()
                except StorageUnavailable:  # it stands in the record, which is told of
                    continue
                except Exception:  # whatever one look met, the next may succeed; giving up would freeze the copy
                    logger.exception("looking at the object store failed")
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _lead(self) -> int | None:
        """Whether this process is the one of its machine that looks; another takes its place when it ends."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / LEADER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        sweep(self.root)
        return descriptor
