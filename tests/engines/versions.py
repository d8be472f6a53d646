"""Versions with graphs for the fast engine, as a worker publishes them."""

from pathlib import Path

from service.domain.recipes.resolve import resolve
from service.store.manifest import Manifest
from service.store.publish import publish, staging
from service.training.export.process import export
from service.training.export.verification import add_graphs
from tests.networks.samples import fresh
from tests.training.exports import waves


def add_fast_version(root: Path, name: str, architecture: str = "gru") -> Manifest:
    """Publishes a preset with fresh weights."""
    recipe = resolve({"architecture": architecture})
    staged = staging(root, f"job-of-{name}")
    graph = export(recipe, fresh(recipe).get_weights(), staged)
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
        job_id=f"job-of-{name}",
        parameters=1,
        engines=add_graphs(graph, recipe, staged, [waves(4, 50)]),
    )
    return publish(root, staged, manifest)
