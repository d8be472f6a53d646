"""Which engine runs a version, and what happens when it can't."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.engines.loaders import make_loader
from service.engines.normalized import NormalizedEngine
from service.engines.onnx import OnnxLoader, OnnxRuntime
from service.engines.savedmodel import SavedModelRuntime
from service.errors import EngineNotAvailable, VersionDamaged
from service.store.catalog import Catalog
from service.store.manifest import Manifest
from tests.engines.versions import add_fast_version
from tests.serving.models import Kind, add_version
from tests.store.damages import change
from tests.training.exports import waves

SERIES = waves(4, 50).astype(np.float64)
LENGTHS = np.full(4, 50, np.int32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one version that has graphs for the fast engine, and one that has none."""
    root = tmp_path_factory.mktemp("store")
    add_fast_version(root, "fast")
    add_version(root, "plain", Kind(has_graphs=False))
    return root


def find(root: Path, name: str) -> tuple[Path, Manifest]:
    catalog = Catalog(root)
    catalog.refresh()
    manifest = catalog.resolve(name)
    return catalog.folder(manifest), manifest


def test_the_fast_engine_runs_what_has_graphs_and_tensorflow_the_rest(store: Path) -> None:
    load = make_loader("auto")
    for name, kind in (("fast", OnnxRuntime), ("plain", SavedModelRuntime)):
        engine = load(*find(store, name))
        assert isinstance(engine, NormalizedEngine)
        assert isinstance(engine.runtime, kind)
    assert load.choose(find(store, "fast")[1]).engine == "onnx"
    choice = load.choose(find(store, "plain")[1])
    assert (choice.engine, choice.reason) == (
        "savedmodel",
        "Not the engine 'onnx': it was published without fast graphs.",
    )


def test_both_engines_give_the_same_forecasts(store: Path) -> None:
    fast, complete = (make_loader(name)(*find(store, "fast")) for name in ("onnx", "savedmodel"))
    assert np.allclose(fast.forecast(SERIES, LENGTHS), complete.forecast(SERIES, LENGTHS), atol=1e-6)
    assert np.allclose(fast.rollout(SERIES, LENGTHS, 25), complete.rollout(SERIES, LENGTHS, 25), atol=1e-5)
    for got, expected in zip(fast.all_steps(SERIES, LENGTHS), complete.all_steps(SERIES, LENGTHS), strict=True):
        assert np.allclose(got, expected, atol=1e-6)


def test_the_fast_engine_alone_refuses_what_has_no_graphs(store: Path) -> None:
    load = make_loader("onnx")
    assert load.choose(find(store, "plain")[1]).engine is None
    with pytest.raises(EngineNotAvailable, match="Set OUTFIELDER_ENGINE to auto"):
        load(*find(store, "plain"))


def test_graphs_that_cannot_be_read_are_damage_and_not_a_crash(store: Path, tmp_path: Path) -> None:
    (tmp_path / "assets.extra").mkdir()
    for call in ("forecast", "rollout"):
        (tmp_path / f"assets.extra/{call}.onnx").write_bytes(b"nothing of use")
    with pytest.raises(VersionDamaged, match="OUTFIELDER_ENGINE"):
        make_loader("auto")(tmp_path, find(store, "fast")[1])


def test_the_fast_engine_needs_no_tensorflow(store: Path) -> None:
    program = f"""
import sys
from pathlib import Path
import numpy as np
from service.engines.loaders import make_loader
from service.store.catalog import Catalog
catalog = Catalog(Path({str(store)!r}))
catalog.refresh()
manifest = catalog.resolve("fast")
engine = make_loader("auto")(catalog.folder(manifest), manifest)
assert np.isfinite(engine.forecast(np.zeros((1, 9), np.float32), np.array([9], np.int32))).all()
print([name for name in ("tensorflow", "keras", "onnx") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_graphs_that_answer_otherwise_than_the_manifest_says_are_damaged(tmp_path: Path) -> None:
    horizon = add_fast_version(tmp_path, "m", "linear").horizon
    change(horizon=horizon - 1)(tmp_path / "m" / "1")
    with pytest.raises(VersionDamaged):
        OnnxLoader()(*find(tmp_path, "m"))


def test_a_graph_that_was_not_published_is_not_used(tmp_path: Path) -> None:
    manifest = add_fast_version(tmp_path, "m", "linear")
    folder = tmp_path / "m" / "1"
    (folder / "assets.extra" / "forecast_many.onnx").write_bytes(b"no graph")
    series, lengths = np.ones((20, 60)), np.full(20, 60, np.int32)
    assert OnnxLoader()(folder, manifest).forecast(series, lengths).shape == (20, manifest.horizon)
