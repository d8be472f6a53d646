"""The manifest of a published version: its manifest.json."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import orjson

from service.store.manifest_schema import check_facts


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a version is, how it was trained, and how well it does.

    Attributes:
        name, version: the model's name, and the version's number from 1.
        hyper_parameters: the recipe, as `Recipe.to_dict` gives it; of an ensemble with its members.
        window, horizon: points that the model reads, and steps that it forecasts at once.
        min_length: the least number of points that it can forecast from.
        reads_whole_series: whether it reads all points of a series, and not its last `window`.
        data: what it was trained on: `kind`, `digest`, `n_series`, `n_windows`, `freq`, `season`.
        metrics: scores in the units of the series: `train`, `validation` and `test`, each with `mse`, `rmse`, `mae`,
            `smape`, `by_step` and, of a panel, `mase`; and `baselines`, each with validation and test. A panel has no
            `train`, and its `test` has the `coverage` of intervals by level. With `refit` in the recipe the test scores
            are those of a model that had been trained on everything before the test part, and the published weights
            have been trained on all points.
        gate: the verdict of `service.training.promotion.judge`; None where no gate applies.
        epochs_run: epochs of the fit that was validated; what a refit adds is not counted.
        calibration: what prediction intervals are made from, None without: `season`, `window`, `part` ("test" where
            a hundred series or more were tested and the recipe has `refit`, else "validation"), `residuals` and
            `still_residuals` (for each step the absolute residuals in units of `service.domain.intervals`, ascending,
            of series that moved and of those that were still), `non_negative` (whether no training value was negative).
        engines: for each engine beside TensorFlow how far its forecasts were from the SavedModel's at publication, as a
            share of their magnitude (`{"onnx": {"difference": 2e-7}}`), or the `reason` why it can't run the version.
        tuning: `trials`, as the job showed them, that the hyper-parameters were chosen from; None without.
        left_out: what was to be fitted and was not, each with `part` and `reason`; None where nothing is missing.
        parameters: how many weights the network has.
        files: SHA-256 in hexadecimal by path inside the version's folder.
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
    left_out: list[dict[str, str]] | None = None
    files: dict[str, str] = field(default_factory=dict)

    @property
    def is_zero_shot(self) -> bool:
        """Whether it forecasts by the season of each series, any number of steps at once.

        A version that was fine-tuned knows the season of its training, as all that are trained.
        """
        return self.architecture == "zero_shot" and "experts" in self.hyper_parameters

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """Reads a manifest; fields of a newer writer are left out.

        Raises:
            ValueError: the text is not a manifest. The message is a clause that says why.
        """
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"it is not JSON: {error.msg.lower()}, line {error.lineno}") from None
        check_facts(values)
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})
