"""A version's forecasts as ONNX graphs, one for each call of the fast engine."""

from collections.abc import Callable, Sequence

from service.domain.recipes.recipe import Recipe
from service.engines.onnx import many_rows
from service.networks.network import Network
from service.networks.onnx_graph import FLOAT, INT32, INT64
from service.networks.onnx_operations import OnnxOperations
from service.networks.onnx_tensor import Traced
from service.networks.rollout import EnsembleForecaster, Forecaster

SERIES = (FLOAT, ["batch", "time"])
LENGTHS = (INT32, ["batch"])
HORIZON: tuple[int, list[str]] = (INT64, [])


def make_onnx_graphs(networks: Sequence[Network], recipe: Recipe) -> dict[str, bytes]:
    """The ONNX graphs of a version, by the name of the engine's call; where large batches want others, those as well.

    Inputs are `series` float32 [batch, time], padded on the right with anything, `lengths` int32 [batch] and, of
    `rollout`, `horizon` int64 []. Longer series than the version's longest window must have been cut where it does not
    read them whole. Outputs are those of the SavedModel's signatures.
    """
    few, many = (_make_graphs(networks, recipe, many=many) for many in (False, True))
    return few | {many_rows(call): graph for call, graph in many.items() if graph != few[call]}


def _make_graphs(networks: Sequence[Network], recipe: Recipe, *, many: bool) -> dict[str, bytes]:
    members = recipe.members or (recipe,)
    # The engine cuts series to the longest window of all members.
    forecasters = [
        Forecaster(network, member, cuts=member.window < recipe.longest_window)
        for network, member in zip(networks, members, strict=True)
    ]
    ensemble = EnsembleForecaster(forecasters)

    def forecast(xp: OnnxOperations, series: Traced, lengths: Traced) -> dict[str, Traced]:
        return {"forecast": ensemble.forecast(xp, series, lengths)}

    def rollout(xp: OnnxOperations, series: Traced, lengths: Traced) -> dict[str, Traced]:
        return {"forecast": ensemble.rollout(xp, series, lengths, xp.traced("horizon", "int64"))}

    def all_steps(xp: OnnxOperations, series: Traced, lengths: Traced) -> dict[str, Traced]:
        answer, counts = forecasters[0].all_steps(xp, series, lengths)
        return {"forecast": answer, "steps": counts}

    graphs = {
        "forecast": trace_onnx(forecast, many=many),
        "rollout": trace_onnx(rollout, many=many, takes_horizon=True),
    }
    if not recipe.members and recipe.head == "sequence":
        graphs["all_steps"] = trace_onnx(all_steps, many=many)
    return graphs


def trace_onnx(
    function: Callable[[OnnxOperations, Traced, Traced], dict[str, Traced]],
    *,
    many: bool = False,
    takes_horizon: bool = False,
) -> bytes:
    """The ONNX graph of a function of `xp`, series and lengths.

    Args:
        takes_horizon: whether the function reads `xp.traced("horizon", "int64")`.
        many: whether it is for many rows (`service.engines.onnx.MANY_ROWS`).
    """
    xp = OnnxOperations(many=many)
    lengths = xp.cast(xp.traced("lengths", "int32"), "int64")
    answers = function(xp, xp.traced("series"), lengths)
    outputs: dict[str, tuple[str, int]] = {
        name: (value.name, FLOAT) if value.dtype == "float32" else (xp.graph.cast(value.name, INT32), INT32)
        for name, value in answers.items()
    }
    inputs = {"series": SERIES, "lengths": LENGTHS} | ({"horizon": HORIZON} if takes_horizon else {})
    return xp.graph.model(inputs, outputs)
