"""The exporting process, seen from the worker: started once, asked for each version, restarted when it dies."""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.recipes.recipe import Recipe
from service.errors import ExportMismatch, StorageUnavailable, TooMuchMemory, TrainingFailed
from service.jobs.child_process import MemoryKills, kill
from service.storage.disk_errors import storing

Array = NDArray[np.float32]

logger = logging.getLogger(__name__)

# TensorFlow keeps part of every graph it has traced: a fresh process now and then keeps memory flat.
EXPORTS_PER_PROCESS = 25
# An export whose process was killed is begun again, in another one; after so many it is the model that is at fault.
TRIES = 3
TEMPORARY = "folder of temporary files"


@dataclass(frozen=True, slots=True)
class Export:
    """What was exported: how far the SavedModel's numbers were from the trained network's, and `Manifest.engines`."""

    difference: float
    engines: dict[str, Any]


class Exporter:
    """Exports and proves models in a process that trains nothing and sees no GPU. Not for several threads at once."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._exports = 0

    def start(self) -> None:
        """Starts the process, so that it has loaded TensorFlow by the time it is asked."""
        if self._process is not None and self._process.poll() is None and self._exports < EXPORTS_PER_PROCESS:
            return
        self.close()
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service.training.export.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            # Its own group: a Ctrl-C meant for the worker must not end an export that the worker still waits for.
            start_new_session=True,
        )
        self._exports = 0

    def export(
        self, recipe: Recipe, weights: Sequence[Array], proofs: Sequence[tuple[Array, Array]], folder: Path
    ) -> Export:
        """Writes the SavedModel and the fast engine's graphs into `folder` and proves that they give the same numbers.

        Args:
            weights: as Keras' `get_weights` gives them.
            proofs: series [n, time] with the trained network's forecasts [n, horizon], both in the user's units.

        Raises:
            ExportMismatch: the SavedModel's numbers differ. Graphs whose numbers differ are left out.
            StorageUnavailable: the disk of the store, or that of temporary files, takes no more.
            TrainingFailed: the process died, each time of three.
            TooMuchMemory: the kernel ended it, for memory ran out.
        """
        with storing(TEMPORARY), tempfile.TemporaryDirectory() as scratch:
            weights_file, proofs_file = Path(scratch, "weights.npz"), Path(scratch, "proofs.npz")
            np.savez(weights_file, *weights)
            np.savez(proofs_file, *(array for proof in proofs for array in proof))
            request = {
                "recipe": recipe.to_dict(),
                "weights": str(weights_file),
                "proofs": str(proofs_file),
                "folder": str(folder),
            }
            answer = self._ask_again_and_again(request, folder)
        self._exports += 1
        if answer.get("code") == StorageUnavailable.code:
            raise StorageUnavailable(answer["message"])
        if "code" in answer:
            raise ExportMismatch(answer["message"])
        return Export(float(answer["difference"]), answer["engines"])

    def close(self) -> None:
        """Ends the process; it has nothing to lose."""
        process, self._process = self._process, None
        if process is not None:
            kill(process)

    def _ask_again_and_again(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        for _ in range(TRIES):
            self.start()
            assert self._process is not None  # start() made it
            answer = self._ask(self._process, request)
            if answer is not None:
                return answer
            logger.warning("the process that exports models ended before it answered")
            for remains in folder.glob("*"):
                shutil.rmtree(remains) if remains.is_dir() else remains.unlink()
        raise TrainingFailed(
            f"The process that exports models ended {TRIES} times before it answered; see the worker's log."
        )

    def _ask(self, process: "subprocess.Popen[str]", request: dict[str, Any]) -> dict[str, Any] | None:
        """The answer; None where the process died."""
        assert process.stdin is not None  # both were asked for as pipes
        assert process.stdout is not None
        memory_kills = MemoryKills()
        try:
            print(json.dumps(request), file=process.stdin, flush=True)
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            if memory_kills.explains(process.returncode):
                raise TooMuchMemory(
                    "Memory ran out, and the system ended the process that exports models. Give the worker more "
                    "memory, or fewer jobs at once (OUTFIELDER_JOBS), or ask for a smaller network."
                )
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer
