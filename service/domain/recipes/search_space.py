"""What a tuner may change of a recipe: the search space, as data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from service.domain.recipes.presets import RECURRENT_BODIES, Preset
from service.domain.recipes.recipe import Recipe

DEFAULT_TRIALS = 20
DEFAULT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Dimension:
    """One option and its values: between `low` and `high`, by their logarithm where that is `log`; or `choices`."""

    option: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class TuningSearch:
    """So many trials, as far as they begin within `max_seconds`."""

    trials: int
    max_seconds: float
    space: tuple[Dimension, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "TuningSearch":
        """Rebuilds what `to_dict` gave."""
        space = tuple(
            Dimension(**{**dimension, "choices": tuple(dimension["choices"])}) for dimension in fields["space"]
        )
        return cls(fields["trials"], fields["max_seconds"], space)


def make_search(asked: Mapping[str, Any], given: Mapping[str, Any], recipe: Recipe) -> TuningSearch:
    """The search that a request's `tune` asks for: over what the architecture has and the request leaves open.

    Args:
        asked: `trials` and `max_seconds`, both optional.
        given: the request's fields; what it gives is not tuned.
        recipe: what the request settles to, whose values are the first trial.
    """
    space = tuple(dimension for dimension in _dimensions(recipe.preset, recipe) if dimension.option not in given)
    return TuningSearch(asked.get("trials", DEFAULT_TRIALS), asked.get("max_seconds", DEFAULT_SECONDS), space)


def _dimensions(preset: Preset, recipe: Recipe) -> list[Dimension]:
    usual = recipe.learning_rate
    dimensions = [
        Dimension("learning_rate", "float", usual / 10, usual * 10, log=True),
        Dimension("batch_size", "choice", choices=tuple(sorted({16, 32, 64, 128, 256, recipe.batch_size}))),
    ]
    if preset.units:
        dimensions += [
            Dimension("units", "int", max(1, recipe.units // 4), recipe.units * 4, log=True),
            Dimension("layers", "int", 1, max(3, recipe.layers + 1)),
            Dimension("dropout", "float", 0.0, 0.5),
        ]
    # Beyond the recurrent ones, normalising makes another network of it.
    if preset.body in RECURRENT_BODIES and recipe.readout == "dense":
        dimensions.append(
            Dimension("normalization", "choice", choices=tuple(sorted({"none", "layer", recipe.normalization})))
        )
    return dimensions


def change(recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
    """The recipe with a trial's options, its members too."""
    members = tuple(replace(member, **options) for member in recipe.members)
    return replace(recipe, **options, members=members)
