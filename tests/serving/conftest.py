from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.parts import records, sharing
from service.serving import backtest_plan
from tests.serving.backtest_shop import ASKED, POSTED, Shop, add_calibrated
from tests.serving.models import add_kinds
from tests.serving.test_backtesting import run


@pytest.fixture(scope="session")
def stored_kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one version of each of `tests.serving.models.KINDS`. To be read only."""
    root = tmp_path_factory.mktemp("models_store")
    add_kinds(root)
    return root


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests run on asyncio, as the service does."""
    return "asyncio"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of two series, and no waiting."""
    monkeypatch.setattr(backtest_plan, "PART_ROWS", 6)
    monkeypatch.setattr("service.serving.backtest_jobs.REPORT_SECONDS", 0.0)
    monkeypatch.setattr(records, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(sharing, "LOOK_SECONDS", 0.01)


@pytest.fixture(scope="session")
def calibrated_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one version that has intervals. To be read only."""
    root = tmp_path_factory.mktemp("models_store")
    add_calibrated(root)
    return root


@pytest.fixture
def shop(calibrated_root: Path, small_parts: None, tmp_path: Path) -> Iterator[Shop]:
    """A job of seven parts."""
    shop = Shop(calibrated_root, tmp_path)
    yield shop
    shop.close()


@pytest.fixture
def at_once(calibrated_root: Path, small_parts: None) -> dict[str, Any]:
    """The answer of the same request without a job."""
    return run(calibrated_root, POSTED, freq="MS", **ASKED)
