"""A store that an earlier release wrote is listed, checked and served as it was then."""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.domain.panel import Panel
from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.recipe import PanelData, Recipe
from service.engines.loaders import make_loader
from service.errors import NoChampion
from service.serving.batcher import Batcher
from service.serving.forecast_plan import ForecastRequest
from service.serving.forecasting import Forecasting, ForecastLimits
from service.serving.registry import Registry
from service.store.catalog import Catalog
from service.store.store_check import check_store
from service.training.fits import Fits
from service.training.panel_training import train_on_panel
from service.training.progress import ProgressReporter
from tests.training.recorder import Recorder

FOLDER = Path(__file__).parent / "earlier_release"
RECORDS: list[dict[str, Any]] = json.loads((FOLDER / "forecasts.json").read_text())
LIMITS = ForecastLimits(max_horizon=1000, max_answer_values=100_000, max_series_length=2000)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("earlier") / "models_store"
    with tarfile.open(FOLDER / "models_store.tar.xz") as archive:
        archive.extractall(root, filter="data")
    return root


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_an_earlier_store_is_listed_whole_with_its_aliases_and_its_default(store: Path) -> None:
    catalog = Catalog(store)
    catalog.refresh()
    assert catalog.damaged == ()
    assert [entry.name for entry in catalog.models()] == ["gru", "mlp", "naive", "own", "ridge"]
    assert catalog.resolve().name == "gru"
    assert catalog.resolve("ridge", "trial").version == 1
    assert catalog.resolve("mlp", "champion").version == 1
    with pytest.raises(NoChampion):
        catalog.resolve("ridge")


def test_an_earlier_manifest_keeps_its_facts(store: Path) -> None:
    catalog = Catalog(store)
    catalog.refresh()
    manifest = catalog.resolve("ridge", 1)
    assert (manifest.architecture, manifest.head, manifest.horizon) == ("ridge", "vector", 3)
    assert manifest.calibration is not None
    assert [len(step) > 0 for step in manifest.calibration["residuals"]] == [True] * 3
    assert manifest.gate is not None
    assert manifest.gate["passed"] is False
    recipe = Recipe.from_dict(manifest.hyper_parameters)
    assert (recipe.architecture, recipe.season, recipe.own_data is not None) == ("ridge", 12, True)


def test_the_files_of_an_earlier_store_are_those_of_its_manifests(store: Path) -> None:
    assert check_store(store) == (5, [])


@pytest.mark.anyio
@pytest.mark.parametrize("engine", ["savedmodel", "onnx"])
async def test_an_earlier_store_gives_the_numbers_that_it_gave_then(store: Path, engine: str) -> None:
    registry = Registry(Catalog(store), make_loader(engine), max_loaded=10)
    batcher = Batcher(limit=100, threads=1)
    await registry.open()
    try:
        forecasting = Forecasting(registry, batcher, LIMITS)
        for record in RECORDS:
            fields = dict(record["request"])
            series = fields.pop("series")
            if "level" in fields:
                fields["level"] = tuple(fields["level"])
            answer = await forecasting.answer(series, ForecastRequest(**fields))
            for values, got, expected in zip(series, answer.series, record["forecasts"], strict=True):
                assert got.flaw is None
                tolerance = 1e-5 * float(np.std(values))
                assert np.allclose(np.asarray(got.values), expected["values"], rtol=1e-5, atol=tolerance)
                if "sequence" in expected:
                    assert np.allclose(np.asarray(got.sequence), expected["sequence"], rtol=1e-5, atol=tolerance)
                for level, bounds in expected.get("intervals", {}).items():
                    assert got.intervals is not None
                    for bound, known in zip(got.intervals[level], bounds, strict=True):
                        assert np.allclose(bound, known, rtol=1e-5, atol=tolerance)
    finally:
        await batcher.close()
        await registry.close()


@pytest.mark.parametrize("name", ["mlp", "own"])
def test_a_new_version_meets_an_earlier_champion_as_it_was_measured_then(store: Path, name: str) -> None:
    series = [np.array(values) for values in json.loads((FOLDER / "series.json").read_text())]
    panel = Panel(tuple("abcdef"), tuple(series), (None,) * 6, "MS")
    data = PanelData("series", "panel", panel.digest(), 6, panel.n_points, "MS")
    request = {"architecture": "ridge", "name": name, "horizon": 3, "season": 12}
    plan = make_training_plan(request, data, np.array([len(values) for values in series]))
    catalog = Catalog(store)
    catalog.refresh()
    champion = catalog.resolve(name)
    assert champion.data["digest"] == panel.digest()
    reporter = ProgressReporter(plan, Recorder("job"))
    gate = train_on_panel(plan, series, catalog, Fits(lambda: None), reporter).gate
    assert gate is not None
    assert champion.gate is not None
    assert gate["scores"]["champion_version"] == 1
    assert gate["scores"]["champion"] == pytest.approx(champion.gate["scores"]["candidate"], rel=1e-4)
