"""The signatures of a version's SavedModel, as TensorFlow Serving's REST API describes and calls them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from service.store.manifest import Manifest

DEFAULT = "serving_default"
ONE_SEASON, TWO_SEASONS = "zero_shot", "zero_shot_two_seasons"
_FLOAT, _INT = "DT_FLOAT", "DT_INT32"
SERIES, LENGTHS, NUMBER = (_FLOAT, (-1, -1, 1)), (_INT, (-1,)), (_INT, ())
FORECAST, ALL_STEPS = (_FLOAT, (-1, -1)), (_FLOAT, (-1, -1, -1))

# The type of a tensor, and its shape: -1 for any size.
Spec = tuple[str, tuple[int, ...]]


class Signature(NamedTuple):
    """Its inputs and outputs by name; without batch axis are those that all series share."""

    inputs: Mapping[str, Spec]
    outputs: Mapping[str, Spec]


def find_signatures(manifest: Manifest) -> dict[str, Signature]:
    """What a version can be called by, by name."""
    steps: Spec = (_FLOAT, (-1, -1 if manifest.is_zero_shot else manifest.horizon))
    ragged = {"series": SERIES, "lengths": LENGTHS}
    found = {
        DEFAULT: Signature({"series": SERIES}, {"forecast": steps}),
        "forecast_ragged": Signature(ragged, {"forecast": steps}),
        "rollout": Signature({**ragged, "horizon": NUMBER}, {"forecast": FORECAST}),
    }
    if manifest.head == "sequence" and not manifest.hyper_parameters.get("members"):
        all_steps = (_FLOAT, (-1, -1, manifest.horizon))
        found["all_steps"] = Signature(ragged, {"forecast": all_steps, "steps": (_INT, (-1,))})
    if manifest.is_zero_shot:
        by_expert = (_FLOAT, (-1, len(manifest.hyper_parameters["experts"])))
        outputs = {"forecast": FORECAST, "unit": FORECAST, "weights": by_expert, "errors": by_expert}
        found[ONE_SEASON] = Signature({**ragged, "season": NUMBER, "horizon": NUMBER}, outputs)
        found[TWO_SEASONS] = Signature({**ragged, "season": NUMBER, "long_season": NUMBER, "horizon": NUMBER}, outputs)
    return found


def describe_signatures(manifest: Manifest) -> dict[str, Any]:
    """The answer of GET .../metadata."""
    described = {
        name: {
            "inputs": {key: _describe(f"{name}_{key}:0", spec) for key, spec in signature.inputs.items()},
            "outputs": {
                key: _describe(f"StatefulPartitionedCall:{i}", spec)
                for i, (key, spec) in enumerate(signature.outputs.items())
            },
            "method_name": "tensorflow/serving/predict",
        }
        for name, signature in find_signatures(manifest).items()
    }
    return {
        "model_spec": {"name": manifest.name, "signature_name": "", "version": str(manifest.version)},
        "metadata": {"signature_def": {"signature_def": described}},
    }


def _describe(name: str, spec: Spec) -> dict[str, Any]:
    dtype, shape = spec
    dims = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": name}
