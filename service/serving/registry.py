"""Keeps versions loaded: on first use, once for all waiting requests, bounded, replaced when the store changes."""

import asyncio
import contextlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from service.engines.engine import Engine, EngineChoice, Loader
from service.errors import NoChampion, NotFound, NotReady, ServiceError, StoreUnreadable, VersionDamaged
from service.store.catalog import Catalog
from service.store.damage_record import Damage
from service.store.manifest import Manifest

logger = logging.getLogger(__name__)

# A change made by another process is served within a second: a quarter for the look, the rest for loading.
REFRESH_SECONDS = 0.25
# How long a version that could not be loaded is left alone while its files stay as they are; twice as long each time.
RETRY_SECONDS = 10.0
LONGEST_RETRY_SECONDS = 600.0
# Versions that nobody asks for are compared with their manifests too, in a twentieth of a core's time.
SCRUB_PAUSES = 20
SCRUB_SECONDS = 0.05
# Of what is found in the store at once, in the log.
MOST_LOGGED = 1000
TOLD = "in the model store, %s%s %s"

# A number is never used again, but a store that was wiped by hand begins anew.
_Key = tuple[str, int, str]


@dataclass(slots=True)
class _Failure:
    """Why a version can't be loaded, and the files for which that holds."""

    manifest: Manifest
    error: ServiceError
    signature: object
    retry_at: float
    delay_seconds: float

    def again(self) -> ServiceError:
        """The error for another caller; one that is raised again and again would gather their tracebacks."""
        return type(self.error)(self.error.message)


class Registry:
    """Keeps the engines of recently used versions, and looks for changes of the store while it is open."""

    def __init__(
        self,
        catalog: Catalog,
        load: Loader,
        *,
        max_loaded: int,
        preload: Iterable[str] = (),
        scrub: bool = False,
    ) -> None:
        """Args:
        max_loaded: the most versions in memory.
        preload: the models that are always kept loaded.
        scrub: check all versions against their manifests in the background, used or not.
        """
        self._catalog = catalog
        self._load = load
        self._max_loaded = max_loaded
        self._preload = tuple(preload)
        self._engines: OrderedDict[_Key, asyncio.Task[Engine]] = OrderedDict()
        self._failures: dict[_Key, _Failure] = {}
        # Versions whose files were what was published, when this process looked.
        self._proven: set[_Key] = set()
        self._told: frozenset[Damage] = frozenset()
        # Loading is nearly all Python, so more threads would only take turns.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._unreadable: StoreUnreadable | None = None
        self._scrubs = scrub
        self._background: list[asyncio.Task[None]] = []
        self._closing = threading.Event()
        self._refresh_turn = asyncio.Lock()
        self._next_refresh: asyncio.Task[None] | None = None

    def choose(self, manifest: Manifest) -> EngineChoice:
        """The engine that runs a version."""
        return self._load.choose(manifest)

    @property
    def loaded(self) -> int:
        """How many versions are in memory."""
        return sum(_is_loaded(task) for task in self._engines.values())

    @property
    def damaged(self) -> list[Damage]:
        """Damaged entries of the store: those that a scan finds, and versions whose files have changed."""
        failures = [failure for failure in self._failures.values() if isinstance(failure.error, VersionDamaged)]
        return [*self._catalog.damaged, *map(_describe, failures)]

    async def open(self) -> None:
        """Looks at the store once, then again and again in the background."""
        await self._refresh(self._catalog.refresh)
        self._background.append(asyncio.create_task(self._watch()))
        if self._scrubs:
            self._background.append(asyncio.create_task(self._scrub()))

    async def close(self) -> None:
        self._closing.set()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        # What has not begun to load never will; what has can't be interrupted.
        self._loader.shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(*self._engines.values(), return_exceptions=True)
        self._loader.shutdown()
        self._engines.clear()

    def check(self) -> None:
        """Whether forecasts can be served now.

        Raises:
            StoreUnreadable: the last look at the store failed.
            NotReady: a model to be preloaded is not there, or not loaded yet.
        """
        if self._unreadable is not None:
            raise self._unreadable
        for name in self._preload:
            try:
                manifest = self._catalog.resolve(name)
            except VersionDamaged as error:
                raise NotReady(f"The model {name!r} of OUTFIELDER_PRELOAD can't be loaded. {error.message}") from error
            except (NotFound, NoChampion):
                raise NotReady(f"The model {name!r} of OUTFIELDER_PRELOAD is not in the store.") from None
            task = self._engines.get(_key(manifest))
            if task is None or not _is_loaded(task):
                failure = self._failures.get(_key(manifest))
                if failure is not None:
                    raise NotReady(f"The model {name!r} of OUTFIELDER_PRELOAD can't be loaded. {failure.error.message}")
                raise NotReady(f"The model {name!r} is not loaded yet.")

    async def resolve(self, name: str | None, version: int | str | None) -> Manifest:
        """The version that a request means, also where it was published a moment ago.

        Where the request names none and the current one is damaged, it is the one that would be current without it.

        Raises:
            ModelNotFound, VersionNotFound, NoChampion: as `Catalog.resolve`, after another look at the store.
            VersionDamaged: as `engine`, of a request that names no version, and where no other one can stand in.
        """
        try:
            manifest = self._catalog.resolve(name, version)
        except (NotFound, NoChampion):
            await self.refresh()
            manifest = self._catalog.resolve(name, version)
        key = _key(manifest)
        if version is not None or (key in self._proven and key not in self._failures):
            return manifest
        return await self._find_sound(manifest)

    async def _find_sound(self, current: Manifest) -> Manifest:
        """The current version of a model, or what stands in for it where it is damaged."""
        manifest, unusable = current, set[int]()
        while True:
            try:
                await self.engine(manifest)
                return manifest
            except VersionDamaged:
                unusable.add(manifest.version)
                other = self._catalog.model(current.name).current_without(unusable)
                if other is None:
                    raise
                manifest = other

    async def engine(self, manifest: Manifest) -> Engine:
        """The engine of a version, loaded if it is not yet. Concurrent callers wait for one loading.

        Raises:
            VersionDamaged: its files are not what was published, or can't be loaded. For a while that is known without
                another try, unless the files change.
            NotFound: it was deleted meanwhile.
        """
        failure = self._failures.get(_key(manifest))
        if failure is not None and not await asyncio.to_thread(self._may_retry, failure):
            raise failure.again()
        task = self._begin_loading(manifest)
        if _is_loaded(task):
            return task.result()
        # Shielded: others may wait for the same loading when this caller goes away.
        return await asyncio.shield(task)

    async def refresh(self) -> None:
        """Looks at the store now: unloads what was deleted, loads what replaces a version in use.

        Whoever asks while a look is under way shares the next: an object store that is away holds one thread.
        """
        if self._next_refresh is None:
            self._next_refresh = asyncio.create_task(self._refresh_next())
        await asyncio.shield(self._next_refresh)

    async def _refresh_next(self) -> None:
        async with self._refresh_turn:
            # Whoever asks from now on may know of more than this look sees.
            self._next_refresh = None
            await self._refresh(self._catalog.catch_up)

    async def _refresh(self, look: Callable[[], None]) -> None:
        try:
            retried = await asyncio.to_thread(self._look, look)
        except StoreUnreadable as error:
            if self._unreadable is None:
                logger.error("the model store can't be read: %s", error.message)
            self._unreadable = error
            return
        self._unreadable = None
        self._unload_deleted()
        self._follow(retried)
        self._tell()

    def _look(self, look: Callable[[], None]) -> set[_Key]:
        """Looks at the store; returns which of the versions that could not be loaded may be tried again."""
        look()
        return {key for key, failure in list(self._failures.items()) if self._may_retry(failure)}

    def _may_retry(self, failure: _Failure) -> bool:
        return time.monotonic() >= failure.retry_at or self._catalog.sign(failure.manifest) != failure.signature

    def _tell(self) -> None:
        """Logs new damage once, and repairs."""
        damaged = frozenset(self.damaged)
        new, mended = damaged - self._told, self._told - damaged
        self._told = damaged
        for damages, log, words in ((new, logger.error, ""), (mended, logger.info, "no longer: ")):
            for damage in sorted(damages, key=lambda damage: (damage.entry, damage.reason))[:MOST_LOGGED]:
                log(TOLD, words, damage.entry, damage.reason)
            if len(damages) > MOST_LOGGED:
                log("in the model store, %s%d more entries; GET /models names them", words, len(damages) - MOST_LOGGED)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self._refresh(self._catalog.refresh)
            except Exception:  # whatever one look met, the next may succeed; giving up would freeze the store's picture
                logger.exception("looking at the model store failed")

    async def _scrub(self) -> None:
        """Compares versions with their manifests, one after the other and with pauses, each once."""
        while True:
            manifests = [manifest for entry in self._catalog.models() for manifest in entry.versions]
            for manifest in manifests:
                key = _key(manifest)
                if key in self._proven or key in self._failures or key in self._engines:
                    continue
                started = time.monotonic()
                try:
                    await self._compare(manifest)
                except InterruptedError:
                    return
                except Exception:  # one version that can't be looked at must not hide the others
                    logger.exception("version %d of %r can't be compared", manifest.version, manifest.name)
                self._proven.add(key)
                await asyncio.sleep(max(SCRUB_SECONDS, SCRUB_PAUSES * (time.monotonic() - started)))
            await asyncio.sleep(1.0)

    async def _compare(self, manifest: Manifest) -> None:
        try:
            await asyncio.to_thread(self._prove, manifest)
        except VersionDamaged as error:
            # Deleted meanwhile, it is no damage.
            with contextlib.suppress(NotFound):
                await self._note_failure(manifest, error)

    def _prove(self, manifest: Manifest) -> None:
        self._catalog.verify(manifest, self._closing.is_set)

    def _begin_loading(self, manifest: Manifest) -> asyncio.Task[Engine]:
        key = _key(manifest)
        task = self._engines.get(key)
        if task is None:
            task = asyncio.create_task(self._load_version(manifest))
            self._engines[key] = task
            task.add_done_callback(lambda done: self._loading_ended(key, done))
        self._engines.move_to_end(key)
        return task

    async def _load_version(self, manifest: Manifest) -> Engine:
        def load() -> Engine:
            self._prove(manifest)
            return self._load(self._catalog.folder(manifest), manifest)

        signature = await asyncio.to_thread(self._catalog.sign, manifest)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._loader, load)
        except InterruptedError as error:
            raise NotReady("The server is shutting down.") from error
        except ServiceError as error:
            await self._note_failure(manifest, error, signature)
            raise
        except Exception as error:  # whatever a version makes its engine do, it is this version that can't be served
            damaged = VersionDamaged(
                f"Version {manifest.version} of {manifest.name!r} can't be loaded. The server's log says why; train it "
                "again, or restore it."
            )
            damaged.__cause__ = error
            await self._note_failure(manifest, damaged, signature)
            raise damaged from error

    async def _note_failure(self, manifest: Manifest, error: ServiceError, signature: object = None) -> None:
        """Remembers that a version can't be loaded. Raises NotFound if it was deleted, which is not damage."""
        if signature is None:
            signature = await asyncio.to_thread(self._catalog.sign, manifest)
        await asyncio.to_thread(self._catalog.refresh)
        self._catalog.resolve(manifest.name, manifest.version)
        before = self._failures.get(_key(manifest))
        delay = RETRY_SECONDS if before is None else min(2 * before.delay_seconds, LONGEST_RETRY_SECONDS)
        failure = _Failure(manifest, error, signature, time.monotonic() + delay, delay)
        self._failures[_key(manifest)] = failure
        damage = _describe(failure)
        if damage not in self._told:
            # With the traceback, where there is more to say than what a file is.
            has_more = error.__cause__ is not None and not isinstance(error.__cause__, OSError)
            logger.error(TOLD, "", damage.entry, damage.reason, exc_info=error if has_more else None)
            self._told |= {damage}

    def _loading_ended(self, key: _Key, task: asyncio.Task[Engine]) -> None:
        if _is_loaded(task):
            self._failures.pop(key, None)
            self._proven.add(key)
            self._unload_oldest()
            return
        # Not kept: it is tried again later, for the files may be restored.
        if self._engines.get(key) is task:
            del self._engines[key]
        if not task.cancelled():
            # Its callers may all have gone away.
            task.exception()

    def _unload_oldest(self) -> None:
        """Lets go of the versions that were used longest ago; calls that still run keep theirs until they end."""
        loaded = [key for key, task in self._engines.items() if _is_loaded(task)]
        for key in loaded[: max(0, len(loaded) - self._max_loaded)]:
            del self._engines[key]

    def _unload_deleted(self) -> None:
        kept = {_key(manifest) for entry in self._catalog.models() for manifest in entry.versions}
        for key in [key for key, task in self._engines.items() if key not in kept and task.done()]:
            del self._engines[key]
        for key in self._failures.keys() - kept:
            del self._failures[key]
        self._proven &= kept

    def _follow(self, retried: set[_Key]) -> None:
        """Begins to load the current versions of the default model and of those in use, so that few requests wait.

        Args:
            retried: versions that could not be loaded, but may be tried again.
        """
        in_use = {name for name, _, _ in self._engines} | set(self._preload)
        if self._catalog.default is not None:
            in_use.add(self._catalog.default)
        for name in in_use:
            manifest = self._current(name)
            if manifest is None or _key(manifest) in self._engines:
                continue
            if _key(manifest) not in self._failures or _key(manifest) in retried:
                self._begin_loading(manifest)

    def _current(self, name: str) -> Manifest | None:
        try:
            return self._catalog.resolve(name)
        except (NotFound, NoChampion, VersionDamaged):
            return None


def _key(manifest: Manifest) -> _Key:
    return (manifest.name, manifest.version, manifest.created_at)


def _is_loaded(task: asyncio.Task[Engine]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _describe(failure: _Failure) -> Damage:
    manifest = failure.manifest
    # Its message is a sentence of its own; here it follows the entry's name.
    reason = f"can't be loaded: {failure.error.message}"
    return Damage(f"{manifest.name}/{manifest.version}", reason, manifest.name, manifest.version)
