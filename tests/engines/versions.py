"""Versions with graphs for the fast engine, as a worker publishes them."""

import shutil
import uuid
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from service.domain.recipes.resolve import resolve
from service.engines import onnx
from service.store.manifest import Manifest
from service.store.publish import publish, staging
from service.training.export.onnx_export import make_onnx_graphs
from service.training.export.process import export
from tests.conftest import SHARED
from tests.networks.samples import fresh


@cache
def exported(architecture: str) -> tuple[Path, dict[str, Any]]:
    """A preset's export and what its manifest says of engines, made once for all tests of a process.

    Its graphs are not compared with its signatures, which tests/training/export does.
    """
    recipe = resolve({"architecture": architecture})
    folder = Path(mkdtemp(dir=SHARED)) / "model"
    graph = export(recipe, fresh(recipe).get_weights(), folder)
    for call, model in make_onnx_graphs(graph.networks, recipe).items():
        path = folder / onnx.graph_path(call)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(model)
    return folder, {onnx.NAME: {"difference": 0.0}}


def add_fast_version(root: Path, name: str, architecture: str = "gru", **fields: Any) -> Manifest:
    """Publishes a preset with fresh weights; `fields` are what its manifest says otherwise."""
    recipe = resolve({"architecture": architecture})
    staged = staging(root, f"job-of-{name}")
    folder, engines = exported(architecture)
    shutil.copytree(folder, staged, dirs_exist_ok=True)
    manifest = Manifest(
        name=name,
        version=0,
        created_at="2026-01-01T00:00:00.000Z",
        architecture=architecture,
        head=recipe.head,
        hyper_parameters=recipe.to_dict(),
        modes=list(recipe.modes),
        window=recipe.window,
        horizon=recipe.horizon,
        min_length=recipe.min_length,
        scaling=recipe.scaling,
        reads_whole_series=recipe.reads_whole_series,
        data={"kind": "synthetic"},
        seed=42,
        metrics={},
        gate=None,
        epochs_run=1,
        seconds=1.0,
        device="cpu",
        library_versions={},
        job_id=f"job-of-{name}-{uuid.uuid4().hex}",
        parameters=1,
        engines=engines,
    )
    return publish(root, staged, replace(manifest, **fields))
