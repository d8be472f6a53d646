"""The schema of manifests: types, ranges, and lists that must match."""

import re
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

# What JSON of ours nests at most is eight deep; a thousand, which the parser takes, writers don't.
MOST_NESTED = 64
SHOWN_FAULTS = 3
_DIGEST = re.compile(r"[0-9a-f]{64}")
_WORDS = {
    "missing": "is missing",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "dict_type": "expected an object",
    "model_type": "expected an object",
    "list_type": "expected a list",
    "finite_number": "expected a finite number",
}


def _check_time(value: str) -> str:
    if not value.isascii() or len(value) > 40:
        raise ValueError("expected a time in ISO 8601")
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("expected a time in ISO 8601") from None
    return value


def _check_path(value: str) -> str:
    path = PurePosixPath(value)
    if not value or "\0" in value or path.is_absolute() or ".." in path.parts:
        raise ValueError("expected paths inside the version's folder")
    return value


def _check_digest(value: str) -> str:
    if not _DIGEST.fullmatch(value):
        raise ValueError("expected a SHA-256 in hexadecimal")
    return value


def _check_order(steps: list[list[float]] | None) -> list[list[float]] | None:
    if steps and not all(a <= b for step in steps for a, b in pairwise(step)):
        raise ValueError("expected the residuals of each step in ascending order")
    return steps


# What lists of models show of each.
Word = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=0, le=2**53)]
# No recipe has more steps or a longer window; what loads a version tries it with such lengths.
Steps = Annotated[int, Field(ge=1, le=1_000_000)]
Score = float | None
Residual = Annotated[float, Field(ge=0)]
Residuals = Annotated[list[list[Residual]], Field(min_length=1), AfterValidator(_check_order)]
Mode = Literal["one_step", "autoregressive", "vector", "sequence"]


class _Part(BaseModel):
    # Extra fields are a newer writer's.
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class Scores(_Part):
    mse: Score = None
    rmse: Score = None
    mae: Score = None
    smape: Score = None
    mase: Score = None
    by_step: dict[str, list[Score]] = {}


class Metrics(_Part):
    train: Scores = Scores()
    validation: Scores = Scores()
    test: Scores = Scores()
    baselines: dict[str, dict[str, Scores]] = {}


class TrainingData(_Part):
    kind: str = ""
    digest: str = ""
    n_series: Count | None = None
    freq: str | None = None
    season: Steps | None = None


class Gate(_Part):
    passed: bool
    reason: str = ""
    scores: dict[str, Any] | None = None


class Calibration(_Part):
    season: Steps
    window: Steps
    residuals: Residuals
    still_residuals: Annotated[list[list[Residual]] | None, AfterValidator(_check_order)] = None
    non_negative: bool = False
    is_steady: bool = False
    part: str = ""


class EngineFacts(_Part):
    difference: float | None = None
    reason: Word | None = None


class HyperParameters(_Part):
    """The hyper-parameters that serving reads; the others are for training only."""

    members: "list[HyperParameters] | None" = None
    scaling: str = ""
    readout: str | None = None
    log: bool = False


class Tuning(_Part):
    trials: list[dict[str, Any]]


class Facts(_Part):
    """The fields of `service.store.manifest.Manifest`."""

    name: str
    version: Count
    created_at: Annotated[str, AfterValidator(_check_time)]
    architecture: Word
    head: Literal["one_step", "vector", "sequence"]
    hyper_parameters: HyperParameters
    modes: Annotated[list[Mode], Field(min_length=1, max_length=10)]
    window: Steps
    horizon: Annotated[int, Field(ge=1, le=100_000)]
    min_length: Steps
    scaling: Word
    reads_whole_series: bool
    data: TrainingData
    seed: int
    metrics: Metrics
    gate: Gate | None
    epochs_run: Count
    seconds: float
    device: Word
    library_versions: dict[str, str]
    job_id: Word | None
    parameters: Count
    calibration: Calibration | None = None
    engines: dict[str, EngineFacts] = {}
    tuning: Tuning | None = None
    left_out: list[dict[str, str]] | None = None
    files: dict[Annotated[str, AfterValidator(_check_path)], Annotated[str, AfterValidator(_check_digest)]] = {}


def check_facts(values: Any) -> None:
    """Checks what a manifest's JSON holds.

    Raises:
        ValueError: a clause that says which fields are wrong, and how.
    """
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    if _is_deep(values):
        raise ValueError(f"its JSON is nested more than {MOST_NESTED} deep")
    try:
        Facts.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=True, include_input=False)
        more = "" if len(faults) <= SHOWN_FAULTS else f"; {len(faults) - SHOWN_FAULTS} more"
        raise ValueError(f"{'; '.join(map(_describe, faults[:SHOWN_FAULTS]))}{more}") from None
    calibration = values.get("calibration")
    if calibration and calibration.get("still_residuals"):
        counts = [len(calibration[name]) for name in ("residuals", "still_residuals")]
        if counts[0] != counts[1]:
            raise ValueError(f"calibration: residuals of {counts[0]} steps, but still_residuals of {counts[1]}")


def _describe(fault: ErrorDetails) -> str:
    # Keys that somebody else wrote may be of any length.
    where = ".".join(str(part) for part in fault["loc"] if part != "[key]")[:100]
    cause = fault.get("ctx", {}).get("error")
    words = str(cause) if cause is not None else _WORDS.get(fault["type"]) or fault["msg"].lower()
    return f"{where} {words}" if fault["type"] == "missing" else f"{where}: {words}"


def _is_deep(value: Any) -> bool:
    """Whether JSON nests deeper than may be; without recursion, which deep JSON would exhaust."""
    level = [value]
    for _ in range(MOST_NESTED):
        children = [list(child_list.values()) if isinstance(child_list, dict) else child_list for child_list in level]
        level = [child for child_list in children for child in child_list if isinstance(child, dict | list)]
        if not level:
            return False
    return True
