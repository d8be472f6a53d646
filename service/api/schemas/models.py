"""Bodies and answers of the /models routes."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.engines.engine import EngineChoice
from service.store.damage_record import Damage
from service.store.layout import NAME_PATTERN
from service.store.manifest import Manifest
from service.store.model_entry import ModelEntry


class AliasBody(BaseModel):
    """The version that an alias is set to."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int


class DefaultBody(BaseModel):
    """The model to use for requests without a model."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=NAME_PATTERN)


class ModelAnswer(BaseModel):
    """A model, described by its current version, or by the newest if the gate passed none."""

    model_config = ConfigDict(extra="forbid")

    name: str
    versions: list[int] = Field(description="Ascending")
    aliases: dict[str, int]
    current_version: int | None = Field(description="The version that a request without a version gets")
    is_default: bool = Field(description="Whether a request without a model gets this one")
    architecture: str
    head: str
    modes: list[str]
    window: int
    horizon: int
    min_length: int = Field(description="The least number of points that it can forecast from")
    scaling: str
    calibrated_horizon: int | None = Field(
        description="Steps that it has prediction intervals for: 0 if for none, null if for any"
    )
    engine: str | None = Field(
        description="The engine that runs the current version; null if OUTFIELDER_ENGINE allows none that can"
    )
    engine_reason: str
    metrics: dict[str, Any]


class DamagedEntry(BaseModel):
    """A damaged entry of the store, which is left out. All others are served."""

    model_config = ConfigDict(extra="forbid")

    entry: str = Field(description="Its place in the store, such as lstm/3")
    model: str | None = Field(description="The model that it belongs to, or null")
    version: int | None = Field(description="The version that can't be served because of it, or null")
    reason: str = Field(description="What is wrong with it")


class ModelsAnswer(BaseModel):
    """All models, by name."""

    model_config = ConfigDict(extra="forbid")

    models: list[ModelAnswer]
    damaged: list[DamagedEntry] = Field(
        [], description="Damaged entries and the reasons, up to a thousand; absent if there are none"
    )
    next_cursor: str | None


def damage_to_json(damage: Damage) -> dict[str, Any]:
    """A DamagedEntry to be written."""
    return {"entry": damage.entry, "model": damage.model, "version": damage.version, "reason": damage.reason}


def to_json(entry: ModelEntry, choose: Callable[[Manifest], EngineChoice], *, is_default: bool) -> dict[str, Any]:
    """A ModelAnswer to be written. `choose` says what runs a version."""
    shown = entry.current or entry.versions[-1]
    choice = choose(shown)
    return {
        "name": entry.name,
        "versions": [manifest.version for manifest in entry.versions],
        "aliases": entry.aliases,
        "current_version": None if entry.current is None else entry.current.version,
        "is_default": is_default,
        "architecture": shown.architecture,
        "head": shown.head,
        "modes": shown.modes,
        "window": shown.window,
        "horizon": shown.horizon,
        "min_length": shown.min_length,
        "scaling": shown.scaling,
        "calibrated_horizon": _calibrated_horizon(shown),
        "engine": choice.engine,
        "engine_reason": choice.reason,
        "metrics": shown.metrics,
    }


def _calibrated_horizon(manifest: Manifest) -> int | None:
    if manifest.calibration is None:
        return 0
    return None if manifest.is_zero_shot else len(manifest.calibration["residuals"])
