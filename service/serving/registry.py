"""The loaded versions: loaded on first use, once for all who wait; swapped when the store changes; bounded."""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from service.engines.engine import Choice, Engine, Loader
from service.errors import NoChampion, NotFound, NotReady, ServiceError, StoreUnreadable
from service.store.catalog import Catalog
from service.store.manifest import Manifest

logger = logging.getLogger(__name__)

# A change made by another process is served within a second: a quarter for the look, the rest for loading.
REFRESH_SECONDS = 0.25

# How long a version that could not be loaded is left alone, unless a request asks for it.
RETRY_SECONDS = 10.0

# A number is never used again, but a store that was wiped by hand begins anew.
_Key = tuple[str, int, str]


class Registry:
    """Keeps the engines of recently used versions, and looks for changes of the store while it is open."""

    def __init__(self, catalog: Catalog, load: Loader, *, max_loaded: int, preload: Iterable[str] = ()) -> None:
        """Args: `max_loaded` is the most versions in memory, `preload` the models that are always kept loaded."""
        self._catalog = catalog
        self._load = load
        self._max_loaded = max_loaded
        self._preload = tuple(preload)
        self._engines: OrderedDict[_Key, asyncio.Task[Engine]] = OrderedDict()
        self._failed_at: dict[_Key, float] = {}
        # Loading is nearly all Python, so more threads would only take turns.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._unreadable: StoreUnreadable | None = None
        self._watching: asyncio.Task[None] | None = None

    def choose(self, manifest: Manifest) -> Choice:
        """The engine that runs a version."""
        return self._load.choose(manifest)

    @property
    def loaded(self) -> int:
        """How many versions are in memory."""
        return sum(_is_loaded(task) for task in self._engines.values())

    async def open(self) -> None:
        """Looks at the store once, then again and again in the background."""
        await self.refresh()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
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
            manifest = self._current(name)
            if manifest is None:
                raise NotReady(f"The model {name!r}, to be preloaded, is not in the store.")
            task = self._engines.get(_key(manifest))
            if task is None or not _is_loaded(task):
                raise NotReady(f"The model {name!r} is not loaded yet.")

    async def resolve(self, name: str | None, version: int | str | None) -> Manifest:
        """The version that a request means, also where it was published a moment ago.

        Raises:
            ModelNotFound, VersionNotFound, NoChampion: as `Catalog.resolve`, after another look at the store.
        """
        try:
            return self._catalog.resolve(name, version)
        except (NotFound, NoChampion):
            await self.refresh()
            return self._catalog.resolve(name, version)

    async def engine(self, manifest: Manifest) -> Engine:
        """The engine of a version, loaded if it is not yet. Concurrent callers wait for one loading.

        Raises:
            VersionDamaged: its files are not what was published, or can't be loaded.
            NotFound: it was deleted meanwhile.
        """
        task = self._begin_loading(manifest)
        if _is_loaded(task):
            return task.result()
        # Shielded: others may wait for the same loading when this caller goes away.
        return await asyncio.shield(task)

    async def refresh(self) -> None:
        """Looks at the store now: unloads what was deleted, loads what replaces a version in use."""
        try:
            await asyncio.to_thread(self._catalog.refresh)
        except StoreUnreadable as error:
            if self._unreadable is None:
                logger.exception("the model store can't be read")
            self._unreadable = error
            return
        self._unreadable = None
        self._unload_deleted()
        self._follow()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except Exception:  # whatever one look met, the next may succeed; giving up would freeze the store's picture
                logger.exception("looking at the model store failed")

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
            self._catalog.verify(manifest)
            return self._load(self._catalog.folder(manifest), manifest)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._loader, load)
        except ServiceError:
            # Files that are missing because somebody deleted the version are no damage.
            await asyncio.to_thread(self._catalog.refresh)
            self._catalog.resolve(manifest.name, manifest.version)
            raise

    def _loading_ended(self, key: _Key, task: asyncio.Task[Engine]) -> None:
        if _is_loaded(task):
            self._failed_at.pop(key, None)
            self._unload_oldest()
            return
        # Not kept: the next request tries again, for the files may have been restored.
        if self._engines.get(key) is task:
            del self._engines[key]
        self._failed_at[key] = time.monotonic()
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, NotFound):
            logger.error("version %d of %r can't be loaded", key[1], key[0], exc_info=error)

    def _unload_oldest(self) -> None:
        """Lets go of the versions that were used longest ago; calls that still run keep theirs until they end."""
        loaded = [key for key, task in self._engines.items() if _is_loaded(task)]
        for key in loaded[: max(0, len(loaded) - self._max_loaded)]:
            del self._engines[key]

    def _unload_deleted(self) -> None:
        kept = {_key(manifest) for entry in self._catalog.models() for manifest in entry.versions}
        for key in [key for key, task in self._engines.items() if key not in kept and task.done()]:
            del self._engines[key]
        for key in self._failed_at.keys() - kept:
            del self._failed_at[key]

    def _follow(self) -> None:
        """Begins to load the current versions of the default model and of those in use, so that few requests wait."""
        in_use = {name for name, _, _ in self._engines} | set(self._preload)
        if self._catalog.default is not None:
            in_use.add(self._catalog.default)
        for name in in_use:
            manifest = self._current(name)
            if manifest is not None and _key(manifest) not in self._engines and self._may_load(_key(manifest)):
                self._begin_loading(manifest)

    def _may_load(self, key: _Key) -> bool:
        failed_at = self._failed_at.get(key)
        return failed_at is None or time.monotonic() - failed_at > RETRY_SECONDS

    def _current(self, name: str) -> Manifest | None:
        try:
            return self._catalog.resolve(name)
        except (NotFound, NoChampion):
            return None


def _key(manifest: Manifest) -> _Key:
    return (manifest.name, manifest.version, manifest.created_at)


def _is_loaded(task: asyncio.Task[Engine]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
