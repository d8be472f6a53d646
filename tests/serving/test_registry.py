"""Loaded versions: once for all, swapped, bounded, verified."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engines.engine import Engine
from service.engines.loaders import AutoLoader
from service.errors import NotReady, StoreUnreadable, VersionDamaged, VersionNotFound
from service.serving.registry import REFRESH_SECONDS, Registry
from service.store.catalog import Catalog
from service.store.manifest import Manifest
from tests.serving.models import Kind, add_version

pytestmark = pytest.mark.anyio


class CountingLoader(AutoLoader):
    """The real loader, which remembers what it loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[tuple[str, int]] = []

    def __call__(self, folder: Path, manifest: Manifest) -> Any:
        self.loaded.append((manifest.name, manifest.version))
        return super().__call__(folder, manifest)


@asynccontextmanager
async def opened(root: Path, **options: Any) -> AsyncIterator[tuple[Catalog, Registry, CountingLoader]]:
    catalog, loader = Catalog(root), CountingLoader()
    registry = Registry(catalog, loader, **{"max_loaded": 10, **options})
    await registry.open()
    try:
        yield catalog, registry, loader
    finally:
        await registry.close()


def first_step(engine: Engine) -> float:
    return float(engine.forecast(np.zeros((1, 4), np.float32), np.array([4], np.int32))[0, 0])


async def until(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_callers_who_come_at_once_wait_for_one_loading(tmp_path: Path) -> None:
    add_version(tmp_path, "m", Kind(bias=1))
    add_version(tmp_path, "n", Kind(bias=2))
    async with opened(tmp_path) as (catalog, registry, loader):
        engines = await asyncio.gather(*(registry.engine(catalog.resolve("n")) for _ in range(50)))
        assert loader.loaded.count(("n", 1)) == 1
        assert all(engine is engines[0] for engine in engines)
        assert first_step(engines[0]) == pytest.approx(2.1)


async def test_a_caller_who_leaves_does_not_stop_the_loading_that_others_wait_for(tmp_path: Path) -> None:
    add_version(tmp_path, "m", Kind(bias=1))
    async with opened(tmp_path) as (catalog, registry, _):
        manifest = catalog.resolve("m")
        leaving, staying = (asyncio.create_task(registry.engine(manifest)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert first_step(await staying) == pytest.approx(1.1)


async def test_a_new_version_of_a_model_in_use_is_there_by_itself(tmp_path: Path) -> None:
    # What is published is looked for several times a second.
    assert REFRESH_SECONDS < 0.5
    add_version(tmp_path, "m", Kind(bias=1))
    async with opened(tmp_path) as (catalog, registry, loader):
        assert first_step(await registry.engine(catalog.resolve("m"))) == pytest.approx(1.1)
        await asyncio.to_thread(add_version, tmp_path, "m", Kind(bias=2))
        await until(lambda: catalog.resolve("m").version == 2)
        await until(lambda: ("m", 2) in loader.loaded)
        assert first_step(await registry.engine(catalog.resolve("m"))) == pytest.approx(2.1)
        # An alias that another process sets is followed as well.
        await asyncio.to_thread(Catalog(tmp_path).set_alias, "m", "champion", 1)
        await until(lambda: catalog.resolve("m").version == 1)


async def test_no_more_versions_are_kept_than_allowed_and_the_oldest_goes_first(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        add_version(tmp_path, name, Kind())
    async with opened(tmp_path, max_loaded=2) as (catalog, registry, loader):
        for name in ("a", "b", "a", "c"):
            await registry.engine(catalog.resolve(name))
        assert registry.loaded == 2
        before = len(loader.loaded)
        await registry.engine(catalog.resolve("a"))
        assert len(loader.loaded) == before
        await registry.engine(catalog.resolve("b"))
        assert loader.loaded[-1] == ("b", 1)


async def test_damaged_files_are_never_served_and_restored_ones_are(tmp_path: Path) -> None:
    add_version(tmp_path, "m", Kind())
    add_version(tmp_path, "sound", Kind())
    file = tmp_path / "m" / "1" / "saved_model.pb"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    async with opened(tmp_path) as (catalog, registry, _):
        with pytest.raises(VersionDamaged):
            await registry.engine(catalog.resolve("m"))
        await registry.engine(catalog.resolve("sound"))
        file.write_bytes(content)
        assert first_step(await registry.engine(catalog.resolve("m"))) == pytest.approx(0.1)


async def test_a_version_without_the_signatures_is_damaged_even_if_its_files_are_whole(tmp_path: Path) -> None:
    add_version(tmp_path, "m", Kind(head="vector"), head="sequence", modes=["sequence", "vector"])
    async with opened(tmp_path) as (catalog, registry, _):
        with pytest.raises(VersionDamaged):
            await registry.engine(catalog.resolve("m"))


async def test_a_version_that_cannot_be_loaded_is_not_tried_again_at_every_look(tmp_path: Path) -> None:
    add_version(tmp_path, "m", Kind(head="vector"), head="sequence", modes=["sequence", "vector"])
    async with opened(tmp_path) as (catalog, registry, loader):
        await until(lambda: loader.loaded)
        for _ in range(3):
            await registry.refresh()
            await asyncio.sleep(0.05)
        assert len(loader.loaded) == 1
        with pytest.raises(VersionDamaged):
            await registry.engine(catalog.resolve("m"))
        assert len(loader.loaded) <= 2  # one more if the first had ended, for a request always tries


async def test_what_was_published_a_moment_ago_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, registry, _):
        for number in (1, 2, 3):
            await asyncio.to_thread(add_version, tmp_path, "m", Kind())
            assert (await registry.resolve("m", number)).version == number
        with pytest.raises(VersionNotFound):
            await registry.resolve("m", 4)


async def test_a_deleted_version_is_unloaded_and_not_found(tmp_path: Path) -> None:
    add_version(tmp_path, "m", Kind())
    add_version(tmp_path, "m", Kind())
    async with opened(tmp_path) as (catalog, registry, _):
        old = catalog.resolve("m", 1)
        await registry.engine(old)
        await registry.engine(catalog.resolve("m", 2))
        await asyncio.to_thread(Catalog(tmp_path).delete_version, "m", 1)
        await until(lambda: registry.loaded == 1)
        with pytest.raises(VersionNotFound):
            await registry.engine(old)


async def test_readiness_waits_for_the_models_to_be_preloaded(tmp_path: Path) -> None:
    async with opened(tmp_path, preload=["m"]) as (_, registry, _):
        with pytest.raises(NotReady):
            registry.check()
        await asyncio.to_thread(add_version, tmp_path, "m", Kind())
        await until(lambda: registry.loaded == 1)
        registry.check()


async def test_an_empty_store_is_ready_and_an_unreadable_one_is_not(tmp_path: Path) -> None:
    root = tmp_path / "store"
    async with opened(root) as (_, registry, _):
        registry.check()
        root.write_text("a file where the folder should be")
        await registry.refresh()
        with pytest.raises(StoreUnreadable):
            registry.check()
        root.unlink()
        await registry.refresh()
        registry.check()


async def test_a_damaged_version_is_not_read_again_for_every_request(tmp_path: Path) -> None:
    add_version(tmp_path, "m", Kind(head="vector"), head="sequence", modes=["sequence", "vector"])
    add_version(tmp_path, "sound", Kind(bias=1))
    async with opened(tmp_path) as (catalog, registry, loader):
        for _ in range(20):
            with pytest.raises(VersionDamaged, match="can't be loaded"):
                await registry.engine(catalog.resolve("m"))
        assert loader.loaded.count(("m", 1)) == 1
        assert [damage.entry for damage in registry.damaged] == ["m/1"]
        assert first_step(await registry.engine(catalog.resolve("sound"))) == pytest.approx(1.1)
        # A new version of it is another one.
        await asyncio.to_thread(add_version, tmp_path, "m", Kind(bias=3))
        assert first_step(await registry.engine(await registry.resolve("m", 2))) == pytest.approx(3.1)


async def test_damage_is_told_once_and_again_when_it_is_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_version(tmp_path, "sound", Kind())
    (tmp_path / "sound" / "aliases.json").write_text('{"champion": [1]}')
    with caplog.at_level("INFO", "service"):
        async with opened(tmp_path) as (_, registry, _):
            for _ in range(5):
                await registry.refresh()
            (tmp_path / "sound" / "aliases.json").write_text('{"champion": 1}')
            for _ in range(5):
                await registry.refresh()
    told = [record.getMessage() for record in caplog.records if "aliases.json" in record.getMessage()]
    assert [("no longer" in line, "leads 'champion' to a list" in line) for line in told] == [
        (False, True),
        (True, True),
    ]


async def test_files_that_nobody_asks_for_are_compared_in_the_background(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        add_version(tmp_path, name, Kind())
    (tmp_path / "b" / "1" / "saved_model.pb").write_bytes(b"x")
    async with opened(tmp_path, scrub=True) as (catalog, registry, loader):
        await until(lambda: [damage.entry for damage in registry.damaged] == ["b/1"])
        with pytest.raises(VersionDamaged, match="not what was published"):
            await registry.engine(catalog.resolve("b"))
        assert ("b", 1) not in loader.loaded


async def test_a_model_to_be_preloaded_that_is_damaged_says_so(tmp_path: Path) -> None:
    add_version(tmp_path, "m", Kind())
    (tmp_path / "m" / "1" / "saved_model.pb").write_bytes(b"x")
    async with opened(tmp_path, preload=["m"]) as (_, registry, _):
        await until(lambda: registry.damaged)
        with pytest.raises(NotReady, match="not what was published"):
            registry.check()
    (tmp_path / "m" / "1" / "manifest.json").write_text("{")
    async with opened(tmp_path, preload=["m"]) as (_, registry, _):
        with pytest.raises(NotReady, match=r"manifest\.json"):
            registry.check()


async def test_closing_ends_a_comparison_in_progress(tmp_path: Path) -> None:
    add_version(tmp_path, "m", Kind())
    large = tmp_path / "m" / "1" / "saved_model.pb"
    large.unlink()
    with large.open("wb") as file:
        file.truncate(30 * 2**30)  # a hole: nothing on disk, half a minute to read
    async with opened(tmp_path, scrub=True) as (catalog, registry, _):
        loading = asyncio.create_task(registry.engine(catalog.resolve("m")))
        await asyncio.sleep(0.1)
    with pytest.raises(NotReady):
        await loading


async def test_many_who_look_at_once_share_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_version(tmp_path, "m", Kind(bias=1))
    async with opened(tmp_path) as (catalog, registry, _):
        catch_up, looks, go_on = catalog.catch_up, list[int](), threading.Event()

        def look_slowly() -> None:
            looks.append(1)
            go_on.wait(60)
            catch_up()

        monkeypatch.setattr(catalog, "catch_up", look_slowly)
        first = asyncio.create_task(registry.refresh())
        await until(lambda: looks)
        # What is published from now on the look under way may have missed.
        add_version(tmp_path, "n", Kind(bias=2))
        others = [asyncio.create_task(registry.refresh()) for _ in range(100)]
        await asyncio.sleep(0)
        others[0].cancel()
        go_on.set()
        await first
        await asyncio.gather(*others[1:])
        assert len(looks) == 2
        assert catalog.resolve("n").version == 1
