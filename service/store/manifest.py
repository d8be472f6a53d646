"""What is known of a published version, as it stands in its manifest.json."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import orjson

from service.store.manifest_schema import check_facts


@dataclass(frozen=True, slots=True)
class Manifest:
    """A version's facts. `hyper_parameters` is the recipe; metrics are in the user's own units.

    `calibration` is what prediction intervals are made from: `{"season", "window", "part", "residuals",
    "still_residuals", "non_negative"}`, for each step the absolute residuals of the validation or test part in spreads
    (`service.domain.intervals`), ascending, of series that moved and of those that were still; and whether no value of
    the training data was below zero. None without.

    `engines` says of each engine beside TensorFlow how far its forecasts were from the SavedModel's at publication
    (`{"onnx": {"difference": 2e-7}}`, as a share of their magnitude), or the `reason` why it can't run the version.

    `tuning` holds the `trials` that the hyper-parameters were chosen from, as the job showed them; None without.

    `metrics` holds `train`, `validation` and `test`, each `{"mse", "rmse", "mae", "by_step": {"mse": [..]}}`, and
    `baselines`: `{"naive": {"validation": {..}, "test": {..}}, "linear": {..}}`. `files` maps a path inside the
    version's folder to its SHA-256.
    """

    name: str
    version: int
    created_at: str
    architecture: str
    head: str
    hyper_parameters: dict[str, Any]
    modes: list[str]
    window: int
    horizon: int
    min_length: int
    scaling: str
    reads_whole_series: bool
    data: dict[str, Any]
    seed: int
    metrics: dict[str, Any]
    gate: dict[str, Any] | None
    epochs_run: int
    seconds: float
    device: str
    library_versions: dict[str, str]
    job_id: str | None
    parameters: int
    calibration: dict[str, Any] | None = None
    engines: dict[str, Any] = field(default_factory=dict)
    tuning: dict[str, Any] | None = None
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """Reads a manifest; fields of a newer writer are left out.

        Raises:
            ValueError: the text is no manifest. Its message is a clause that says why.
        """
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"it is not JSON: {error.msg.lower()}, line {error.lineno}") from None
        check_facts(values)
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})
