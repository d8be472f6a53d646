"""A training job from plan to published version."""

import importlib.metadata
import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from service.domain.moments import write_moment
from service.domain.panel import Panel
from service.domain.recipes.recipe import Recipe
from service.domain.recipes.training_plan import TrainingPlan
from service.errors import ServiceError, TrainingFailed
from service.parts.board import Board, forget_parts
from service.storage.object_storage import ObjectStorage
from service.store.catalog import Catalog
from service.store.manifest import Manifest
from service.store.model_store import FolderStore, ModelStore
from service.store.retention import keep_last
from service.training.checkpoints import Checkpoints
from service.training.data.panel_split import prepare_panel, read_panel
from service.training.device import has_gpu
from service.training.export.client import Exporter
from service.training.fits import FitData, Fits
from service.training.panel_fit import PanelWindows
from service.training.panel_training import train_on_panel
from service.training.part_task import perform_part, read_task
from service.training.progress import ProgressReporter, Run
from service.training.promotion import save_measured
from service.training.shared_fits import SharedFits
from service.training.training_result import TrainingResult
from service.training.wave_training import WaveWindows, train_on_waves


class LoadPanel(Protocol):
    """Gives the user's series by the id that they are kept under, and the digest that they had when they were chosen.

    Raises ServiceError.
    """

    def __call__(self, panel_id: str, /, *, digest: str | None = None) -> Panel: ...


class Trainer:
    """Trains, proves and publishes models, one at a time."""

    def __init__(
        self,
        store: ModelStore | Path,
        load_panel: LoadPanel,
        *,
        keep_versions: int | None = None,
        checkpoints: ObjectStorage | None = None,
        board: Board | None = None,
    ) -> None:
        """Args:
        store: a folder stands for a store that is no more than that.
        load_panel: gives the user's series by the id that they are kept under; raises ServiceError.
        keep_versions: the most versions of a model that any training leaves, as `keep_last`; None for all.
        checkpoints: where jobs leave what a later run goes on from; with None each run begins anew.
        board: the parts of jobs that other workers may take; with None each job is done here alone.
        """
        self._keep_versions = keep_versions
        self.store = FolderStore(store) if isinstance(store, Path) else store
        self._load_panel = load_panel
        self._checkpoints = checkpoints
        self._board = board
        # The data of the part before: the next is mostly one of the same job.
        self._part_data: tuple[dict[str, Any], FitData] | None = None
        self._exporter = Exporter()

    def train(self, plan: TrainingPlan, run: Run) -> dict[str, Any]:
        """Runs a job to its published version.

        A job that is run again after a crash goes on from its last checkpoint and ends with the model of an
        undisturbed one, unless its version is already there.

        Returns:
            The job's result: `{"model", "version", "metrics", "gate"}`, and `left_out`, a list of `part` and
            `reason`, where something could not be fitted and the job went on without it.

        Raises:
            TrainingFailed: the model could not be exported, or gave no finite numbers.
        """
        checkpoints = None if self._checkpoints is None else Checkpoints(self._checkpoints, run.job_id)
        self.let_go()
        try:
            result = self._train(plan, run, checkpoints)
        except ServiceError:
            # Another run may have the job by now, and go on from what would be removed.
            run.confirm()
            self._forget(run, checkpoints)
            raise
        self._forget(run, checkpoints)
        return result

    def fit_part(self, part: dict[str, Any], run: Run) -> dict[str, Any]:
        """Does a part of a job that another worker has. Its outcome goes to the job's checkpoints.

        Returns:
            `{"is_refused"}`: whether this process can't do it, since its data or libraries are others.
        """
        if self._checkpoints is None:
            return {"is_refused": True}
        checkpoints = Checkpoints(self._checkpoints, run.job_id)
        task = read_task(part, checkpoints)
        if task is None:
            return {"is_refused": True}
        data = self._data_of(part, task.recipe)
        return {"is_refused": not perform_part(part, task, data, run.raise_if_stopped, checkpoints)}

    def let_go(self) -> None:
        """Lets go of what is kept for the next part, which takes memory."""
        self._part_data = None

    def _data_of(self, part: dict[str, Any], recipe: Recipe) -> FitData:
        identity = {"cut_for": part.get("cut_for"), "waves": part.get("waves")}
        if self._part_data is None or self._part_data[0] != identity:
            own = recipe.own_data
            if own is None:
                self._part_data = identity, WaveWindows()
            else:
                values = read_panel(self._load_panel(own.id, digest=own.digest))
                prepared = prepare_panel(values, Recipe.from_dict(part["cut_for"]), own.missing)
                self._part_data = identity, PanelWindows(prepared)
        return self._part_data[1]

    def _forget(self, run: Run, checkpoints: Checkpoints | None) -> None:
        """Takes away what an ended job has no use for any more."""
        if checkpoints is not None:
            checkpoints.remove()
        if self._board is not None:
            forget_parts(self._board, run.job_id)

    def _train(self, plan: TrainingPlan, run: Run, checkpoints: Checkpoints | None) -> dict[str, Any]:
        self.store.prepare(plan.name, run.raise_if_stopped)
        published = self.store.find_by_job(plan.name, run.job_id)
        if published is not None:
            return self._crown(published, plan, run)
        self._exporter.start()
        reporter = ProgressReporter(plan, run)
        if checkpoints is not None:
            checkpoints.begin_run()
        fits = Fits(run.raise_if_stopped, checkpoints)
        if checkpoints is not None and self._board is not None:
            fits = SharedFits(run.raise_if_stopped, checkpoints, self._board, run.job_id, run.attempt)
        result = self._fit(plan, fits, reporter)
        if not all(np.all(np.isfinite(weights)) for weights in result.weights):
            raise TrainingFailed("The training diverged: its weights are not finite. Try a lower learning_rate.")
        seconds = fits.clock.elapsed()
        run.raise_if_stopped()
        manifest = _manifest(plan, result, seconds, run.job_id)
        folder = self.store.staging(run.job_id)
        try:
            export = self._exporter.export(result.recipe, result.weights, result.proofs, folder)
            if result.measured_weights is not None:
                save_measured(folder, result.measured_weights)
            left_out = [asdict(one) for one in fits.left_out] or None
            tuning = None if reporter.trials is None else {"trials": reporter.trials}
            manifest = replace(manifest, engines=export.engines, tuning=tuning, left_out=left_out)
            # Whoever was away for long may have lost the job to another worker by now.
            run.confirm()
            return self._crown(self.store.publish(folder, manifest, run.raise_if_stopped), plan, run)
        finally:
            # Published, it has another name by now; else nobody will ask for it.
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        self._exporter.close()

    def _fit(self, plan: TrainingPlan, fits: Fits, reporter: ProgressReporter) -> TrainingResult:
        data = plan.recipes[0].own_data
        if data is None:
            return train_on_waves(plan, fits, reporter)
        values = read_panel(self._load_panel(data.id, digest=data.digest))
        return train_on_panel(plan, values, self._catalog(), fits, reporter)

    def _crown(self, published: Manifest, plan: TrainingPlan, run: Run) -> dict[str, Any]:
        """Makes a version that passed its gate the champion, unless a later one is that already; then its result."""
        if (published.gate or {}).get("passed"):
            self.store.promote(published, run.raise_if_stopped)
        bounds = [bound for bound in (plan.keep_versions, self._keep_versions) if bound is not None]
        if bounds:
            keep_last(self.store.catalog(), published.name, min(bounds), published.version)
        return _result(published)

    def _catalog(self) -> Catalog:
        catalog = self.store.catalog()
        catalog.refresh()
        return catalog


def _manifest(plan: TrainingPlan, result: TrainingResult, seconds: float, job_id: str) -> Manifest:
    recipe = result.recipe
    return Manifest(
        name=plan.name,
        version=0,
        created_at=write_moment(datetime.now(UTC)),
        architecture=recipe.architecture,
        head=recipe.head,
        hyper_parameters=recipe.to_dict(),
        modes=list(recipe.modes),
        window=recipe.longest_window,
        horizon=recipe.horizon,
        min_length=recipe.min_length,
        scaling=recipe.scaling,
        reads_whole_series=recipe.reads_whole_series,
        data=result.data,
        seed=recipe.seed,
        metrics=result.metrics,
        gate=result.gate,
        epochs_run=result.epochs_run,
        seconds=round(seconds, 3),
        device="gpu" if has_gpu() else "cpu",
        library_versions={name: importlib.metadata.version(name) for name in ("outfielder", "keras", "numpy")}
        | {"tensorflow": tf.__version__},
        job_id=job_id,
        parameters=sum(network.count_params() for network in result.networks),
        calibration=result.calibration,
    )


def _result(manifest: Manifest) -> dict[str, Any]:
    tuning = {} if manifest.tuning is None else {"trials": manifest.tuning["trials"]}
    return {
        "model": manifest.name,
        "version": manifest.version,
        "metrics": manifest.metrics,
        "gate": manifest.gate,
        **tuning,
        **({} if manifest.left_out is None else {"left_out": manifest.left_out}),
    }
