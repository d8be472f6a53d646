"""The activations use case: what the recurrent layers of a version compute inside, for one series."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.domain.normalization import find_equivariance, normalize
from service.domain.recipes.presets import PRESETS
from service.domain.series import Missing, split
from service.engines.activations import LayerActivations, NoRecurrentLayers, RecurrentGraph, load_recurrent_graph
from service.engines.engine import Array, Series
from service.engines.onnx import has_graphs, why_not
from service.errors import Flaw, InvalidRequest
from service.serving.forecast_calendar import ForecastCalendar
from service.serving.forecast_plan import ForecastRequest
from service.serving.preprocess import prepare_series
from service.serving.registry import Registry
from service.store.catalog import Catalog
from service.store.manifest import Manifest

# All steps are told, and nobody looks at more.
MOST_POINTS = 1000
KEPT_GRAPHS = 4
RECURRENT = frozenset({"simple_rnn", "lstm", "gru", "conv_gru"})
MOST_AT_ONCE = 2

_Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class ActivationsRequest:
    """A request for activations without its series."""

    model: str | None = None
    version: int | str | None = None
    missing: Missing = "interpolate"


@dataclass(frozen=True, slots=True, eq=False)
class ActivationsPlan:
    """Activations that can be computed: of a series [time], as at most `n_values` numbers."""

    manifest: Manifest
    series: Series
    graph: RecurrentGraph
    n_values: int


@dataclass(frozen=True, slots=True, eq=False)
class VersionActivations:
    """What the first layer reads, [points], and the activations of each recurrent layer, in order."""

    model: str
    version: int
    input: Array
    layers: list[LayerActivations]


class Activations:
    """Shows the recurrent layers of a store's versions at work."""

    def __init__(self, registry: Registry, catalog: Catalog) -> None:
        self._registry = registry
        self._catalog = catalog
        self._graphs: OrderedDict[_Key, RecurrentGraph] = OrderedDict()
        self._loading = asyncio.Lock()
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def prepare(self, request: ActivationsRequest, posted: Any) -> ActivationsPlan:
        """Checks everything that can be checked before anything is computed.

        Raises:
            InvalidRequest: the request is wrong, or the version has no recurrent layers that could be shown.
            NotFound, NoChampion, VersionDamaged, NotReady, EngineNotAvailable.
        """
        manifest = await self._registry.resolve(request.model, request.version)
        _check_model(manifest)
        series = await asyncio.to_thread(_read_series, request, posted, manifest)
        graph = await self._load(manifest)
        return ActivationsPlan(manifest, series, graph, len(series) * (1 + graph.values_per_step))

    async def run(self, plan: ActivationsPlan) -> VersionActivations:
        """Computes the activations."""
        async with self._turns:
            values, layers = await asyncio.to_thread(_compute, plan)
        return VersionActivations(plan.manifest.name, plan.manifest.version, values, layers)

    async def _load(self, manifest: Manifest) -> RecurrentGraph:
        """The graph of a version. The last few are kept."""
        # What can't be served is refused as a forecast is; then its files are what was published.
        await self._registry.engine(manifest)
        key = (manifest.name, manifest.version, manifest.created_at)
        async with self._loading:
            if key not in self._graphs:
                self._graphs[key] = await asyncio.to_thread(self._read, manifest)
            self._graphs.move_to_end(key)
            while len(self._graphs) > KEPT_GRAPHS:
                self._graphs.popitem(last=False)
            return self._graphs[key]

    def _read(self, manifest: Manifest) -> RecurrentGraph:
        try:
            return load_recurrent_graph(self._catalog.folder(manifest), manifest)
        except NoRecurrentLayers as error:
            # Of an architecture that this process does not know.
            raise _not_available(manifest, _describe(manifest, "which has no recurrent layers")) from error


def _check_model(manifest: Manifest) -> None:
    """Refuses what need not be loaded to be known as unfit. Raises InvalidRequest."""
    if manifest.is_zero_shot:
        raise _not_available(manifest, "weighs classical forecasts, and has no recurrent layers")
    members = manifest.hyper_parameters.get("members") or ()
    if len(members) > 1:
        raise _not_available(manifest, f"is the mean of {len(members)} networks")
    preset = PRESETS.get(manifest.architecture)
    if preset is not None and preset.body not in RECURRENT:
        raise _not_available(manifest, _describe(manifest, "which has no recurrent layers"))
    if preset is not None and preset.body == "simple_rnn" and manifest.hyper_parameters.get("normalization") == "layer":
        raise _not_available(manifest, _describe(manifest, "whose cells normalise within themselves"))
    if not has_graphs(manifest):
        raise _not_available(manifest, f"can't be looked into: {why_not(manifest).rstrip('.')}")


def _describe(manifest: Manifest, what: str) -> str:
    return f"is of the architecture {manifest.architecture!r}, {what}"


def _not_available(manifest: Manifest, reason: str) -> InvalidRequest:
    return InvalidRequest.at(
        "/model",
        "activations_not_available",
        f"Version {manifest.version} of {manifest.name!r} {reason}. Choose a model of recurrent layers, such as lstm, "
        "gru or simple_rnn.",
    )


def _read_series(request: ActivationsRequest, posted: Any, manifest: Manifest) -> Series:
    """What the version reads of the one series of a request: [time]."""
    series = split(posted)
    if len(series) != 1:
        raise InvalidRequest.at(
            "/series", "too_many_series", f"Expected one series, got {len(series)}: send them one by one."
        )
    asked = ForecastRequest(missing=request.missing)
    # Its times say nothing to the layers.
    timeless = [series[0]._replace(start=None)]
    [row] = prepare_series(timeless, asked, manifest, ForecastCalendar(asked, None, 1), max_length=MOST_POINTS)
    if row.flaw is not None:
        raise InvalidRequest([row.flaw])
    assert row.values is not None
    if len(row.values) > MOST_POINTS:
        message = (
            f"{manifest.name!r} reads the last {manifest.window} points of a series; activations are of {MOST_POINTS} "
            f"at most. Send {MOST_POINTS} points, or a model with a shorter window."
        )
        raise InvalidRequest([Flaw(row.pointer, "too_long", message)])
    return row.values


def _compute(plan: ActivationsPlan) -> tuple[Array, list[LayerActivations]]:
    equivariance = find_equivariance(plan.manifest.hyper_parameters)
    normalized, _ = normalize(plan.series[None], np.array([len(plan.series)], np.int32), equivariance)
    return plan.graph.run(normalized[0])
