"""Creates the loader that OUTFIELDER_ENGINE names."""

from pathlib import Path

from service.engines import onnx, savedmodel
from service.engines.engine import Engine, EngineChoice, Loader
from service.engines.onnx import OnnxLoader
from service.engines.savedmodel import SavedModelLoader
from service.store.manifest import Manifest


class AutoLoader:
    """The fast engine for every version that has its graphs, TensorFlow for the others."""

    def __init__(self, *, beside_training: bool = False) -> None:
        """Args: `beside_training`: the process also trains; TensorFlow must leave it the GPUs."""
        self._fast = OnnxLoader()
        self._complete = SavedModelLoader(beside_training=beside_training)

    def choose(self, manifest: Manifest) -> EngineChoice:
        if onnx.has_graphs(manifest):
            return self._fast.choose(manifest)
        return EngineChoice(savedmodel.NAME, f"Not the engine {onnx.NAME!r}: {onnx.why_not(manifest)}")

    def __call__(self, folder: Path, manifest: Manifest) -> Engine:
        if onnx.has_graphs(manifest):
            return self._fast(folder, manifest)
        return self._complete(folder, manifest)


def make_loader(name: str) -> Loader:
    """What loads versions under this setting.

    Raises:
        KeyError: an unknown engine; settings allow known names only.
    """
    loaders: dict[str, type[Loader]] = {
        "auto": AutoLoader,
        savedmodel.NAME: SavedModelLoader,
        onnx.NAME: OnnxLoader,
    }
    return loaders[name]()
