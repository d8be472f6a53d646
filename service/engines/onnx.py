"""The fast engine: a version's ONNX graphs in native code, without TensorFlow."""

import math
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from service.domain.seasons import Seasons
from service.engines.engine import Array, Engine, EngineChoice, Kind, Lengths
from service.engines.normalized import NormalizedEngine
from service.engines.zero_shot import ONE_SEASON, TWO_SEASONS, Combined, ZeroShotEngine, to_combined
from service.errors import EngineNotAvailable, VersionDamaged
from service.storage.regular_files import read_regular
from service.store.manifest import Manifest

# Where the graphs lie inside a version's folder; TensorFlow ignores what is in `assets.extra`.
FOLDER = "assets.extra"
NAME = "onnx"
# An output that is named need not be looked up at each call.
FORECAST_ONLY = ["forecast"]
# What a call costs is measured with so many points more than the fewest.
MEASURED_POINTS = 50
# What each row of a call takes beside its points.
ROW_SECONDS = 2e-6
# The memory of larger calls of the zero-shot model is given back after them: rows times points and steps.
KEPT_CELLS = 4096
# The format holds no larger graph.
MOST_GRAPH_BYTES = 2**31


# From so many rows on the graphs for many are used, where a version has them;
# docs/decisions/0009-fast-engine.md has the figures.
MANY_ROWS = 8


def many_rows(call: str) -> str:
    """The name of an engine's call for at least `MANY_ROWS` rows."""
    return f"{call}_many"


def graph_path(call: str) -> str:
    """Where the graph of an engine's call lies, inside a version's folder."""
    return f"{FOLDER}/{call}.onnx"


class OnnxLoader:
    """Loads versions whose graphs an `OnnxRuntime` runs."""

    def choose(self, manifest: Manifest) -> EngineChoice:
        """This engine, where the version has its graphs."""
        if has_graphs(manifest):
            return EngineChoice(NAME, "Its fast graphs gave the SavedModel's numbers when it was published.")
        return EngineChoice(None, f"The engine {NAME!r} can't run it: {why_not(manifest)}")

    def __call__(self, folder: Path, manifest: Manifest) -> Engine:
        """Loads a version's graphs and runs each once.

        Raises:
            EngineNotAvailable: there are none.
            VersionDamaged: they can't be loaded.
        """
        if not has_graphs(manifest):
            raise EngineNotAvailable(
                f"Version {manifest.version} of {manifest.name!r} can't be run by the engine {NAME!r}: "
                f"{why_not(manifest)} Set OUTFIELDER_ENGINE to auto, or train it again."
            )
        try:
            if manifest.is_zero_shot:
                zero_shot = ZeroShotEngine(OnnxZeroShot(folder), manifest)
                zero_shot.warm()
                return zero_shot
            engine = OnnxRuntime(folder, None if manifest.reads_whole_series else manifest.window, manifest.files)
            engine.warm(manifest)
            return NormalizedEngine.of(engine, manifest)
        except Exception as error:  # the runtime raises classes that share no other base
            raise VersionDamaged(
                f"Version {manifest.version} of {manifest.name!r} can't be loaded by the engine {NAME!r}. Set "
                "OUTFIELDER_ENGINE to savedmodel, or train it again."
            ) from error


def has_graphs(manifest: Manifest) -> bool:
    """Whether a version was published with graphs for this engine."""
    call = ONE_SEASON if manifest.is_zero_shot else "forecast"
    return graph_path(call) in manifest.files


def why_not(manifest: Manifest) -> str:
    """Why a version has no graphs for this engine."""
    reason = manifest.engines.get(NAME, {}).get("reason")
    return str(reason) if reason else "it was published without fast graphs."


class OnnxRuntime:
    """A version's graphs, each with one thread, so that concurrent calls share the cores."""

    def __init__(self, folder: Path, window: int | None, files: Collection[str] | None = None) -> None:
        """Args:
        window: how many of a series' last points the version reads; None for all.
        files: the paths of the files that were published, inside the folder: no others are read. None for all.
        """
        if files is None:
            files = [path.relative_to(folder).as_posix() for path in (folder / FOLDER).iterdir()]
        self._window = window
        self._forecast = _Graphs(folder, "forecast", files)
        self._rollout = _Graphs(folder, "rollout", files)
        self._all_steps = _Graphs(folder, "all_steps", files) if graph_path("all_steps") in files else None
        # Until they are measured, calls may take any time.
        self._call_seconds = self._point_seconds = self._step_seconds = math.inf

    def forecast(self, series: Array, lengths: Lengths) -> Array:
        series, lengths = self._cut(series, lengths)
        answer: Array = self._forecast.choose(series)(FORECAST_ONLY, {"series": series, "lengths": lengths})[0]
        return answer

    def rollout(self, series: Array, lengths: Lengths, horizon: int) -> Array:
        series, lengths = self._cut(series, lengths)
        inputs = {"series": series, "lengths": lengths, "horizon": np.array(horizon, np.int64)}
        answer: Array = self._rollout.choose(series)(FORECAST_ONLY, inputs)[0]
        return answer

    def all_steps(self, series: Array, lengths: Lengths) -> tuple[Array, Lengths]:
        if self._all_steps is None:
            raise ValueError("this version has no sequence head")
        series, lengths = self._cut(series, lengths)
        forecast, steps = self._all_steps.choose(series)(None, {"series": series, "lengths": lengths})
        return forecast, steps

    def estimate(self, kind: Kind, rows: int, length: int, horizon: int) -> float:
        points = length if self._window is None else min(length, self._window)
        steps = horizon if kind == "rollout" else 0
        # All steps are as many forecasts as there are points, but of the dense layer alone.
        passes = 2 if kind == "all_steps" else 1
        row_seconds = ROW_SECONDS + passes * points * self._point_seconds + steps * self._step_seconds
        return self._call_seconds + rows * row_seconds

    def warm(self, manifest: Manifest) -> None:
        """Runs each graph once, to allocate what later runs reuse, and measures the time of a call.

        Raises:
            ValueError: an answer's shape is not the manifest's.
        """
        shortest, longest = manifest.min_length, manifest.min_length + MEASURED_POINTS
        if self._all_steps is not None:
            self.all_steps(*_zeros(longest))
        elif "sequence" in manifest.modes:
            raise ValueError("there is no graph for all steps, which the manifest's modes ask for")
        steps = manifest.horizon + MEASURED_POINTS
        for answer, expected in (
            (self.forecast(*_zeros(longest)), manifest.horizon),
            (self.rollout(*_zeros(longest), steps), steps),
        ):
            if answer.shape != (1, expected):
                raise ValueError(f"an answer has the shape {answer.shape}, expected (1, {expected})")
        least = _measure(lambda: self.forecast(*_zeros(shortest)))
        whole = _measure(lambda: self.forecast(*_zeros(longest)))
        rolled = _measure(lambda: self.rollout(*_zeros(longest), steps))
        self._call_seconds = least
        self._point_seconds = max(0.0, whole - least) / MEASURED_POINTS
        self._step_seconds = max(0.0, rolled - whole) / steps

    def _cut(self, series: Array, lengths: Lengths) -> tuple[Array, Lengths]:
        """Each row's last `window` points, moved to the left; rows that are shorter stay."""
        if self._window is None or series.shape[1] <= self._window:
            return series, lengths
        first = np.maximum(lengths - self._window, 0)
        positions = first[:, None] + np.arange(self._window)
        return np.take_along_axis(series, positions, axis=1), np.minimum(lengths, self._window, dtype=np.int32)


class OnnxZeroShot:
    """The graphs of a zero-shot version."""

    def __init__(self, folder: Path) -> None:
        self._one = _open(folder / graph_path(ONE_SEASON)).run
        self._two = _open(folder / graph_path(TWO_SEASONS)).run
        import onnxruntime

        self._giving_back = onnxruntime.RunOptions()
        self._giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def combine(self, series: Array, lengths: Lengths, seasons: Seasons, horizon: int) -> Combined:
        inputs = {"series": series, "lengths": lengths, "season": np.array(seasons.short), "horizon": np.array(horizon)}
        if seasons.long:
            inputs["long_season"] = np.array(seasons.long)
        run = self._two if seasons.long else self._one
        is_large = len(series) * (series.shape[1] + horizon) > KEPT_CELLS
        return to_combined(run(Combined._fields, inputs, self._giving_back if is_large else None))


class _Graphs:
    """The graph of one call, and that for many rows where there is one."""

    def __init__(self, folder: Path, call: str, files: Collection[str]) -> None:
        self._few = self._many = _open(folder / graph_path(call))
        if graph_path(many_rows(call)) in files:
            self._many = _open(folder / graph_path(many_rows(call)))

    def choose(self, series: Array) -> Callable[..., Any]:
        """What runs series [batch, time]."""
        session = self._many if len(series) >= MANY_ROWS else self._few
        run: Callable[..., Any] = session.run
        return run


def _open(path: Path) -> Any:
    return open_session(read_regular(path, MOST_GRAPH_BYTES))


def open_session(content: bytes) -> Any:
    """A session of a graph, with one thread."""
    # It would keep a number for this machine in the home folder, and report to its maker how it is used.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _zeros(length: int) -> tuple[Array, Lengths]:
    return np.zeros((1, length), np.float32), np.array([length], np.int32)


def _measure(call: Callable[[], object]) -> float:
    """The seconds of a call that is not its first; the least of a few, since others use the processor too."""
    call()
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
