"""What a tuner may change of a recipe: the search space, as data. The table of options says what and how far."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from service.domain.recipes.option import Around, Between, Option
from service.domain.recipes.options import OPTIONS, TUNE
from service.domain.recipes.recipe import Recipe


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


def make_search(
    asked: Mapping[str, Any], given: Mapping[str, Any], recipe: Recipe, options: tuple[Option, ...] = OPTIONS
) -> TuningSearch:
    """The search that a request's `tune` asks for: over what the architecture has and the request leaves open.

    Args:
        asked: `trials` and `max_seconds`, both optional.
        given: the request's fields; what it gives is not tuned.
        recipe: what the request settles to, whose values are the first trial.
    """
    dimensions = (make_dimension(option, recipe) for option in options if option.name not in given)
    space = tuple(dimension for dimension in dimensions if dimension is not None)
    return TuningSearch(**TUNE.settle_fields(asked), space=space)


def make_dimension(option: Option, recipe: Recipe) -> Dimension | None:
    """What is tried of an option around a recipe's own value; None where it is left alone."""
    search = option.search
    if search is None or not option.models.include(recipe.preset):
        return None
    usual = getattr(recipe, option.name)
    if isinstance(search, Around):
        if option.type is int:
            return Dimension(option.name, "int", max(1, usual // search.factor), usual * search.factor, log=True)
        return Dimension(option.name, "float", usual / search.factor, usual * search.factor, log=True)
    if isinstance(search, Between):
        high = search.high if search.reach is None else max(search.high, usual + search.reach)
        return Dimension(option.name, "int" if option.type is int else "float", search.low, high)
    if not search.suits(recipe.preset, recipe.readout):
        return None
    return Dimension(option.name, "choice", choices=tuple(sorted({*search.choices, usual})))


def change(recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
    """The recipe with a trial's options, its members too."""
    members = tuple(replace(member, **options) for member in recipe.members)
    return replace(recipe, **options, members=members)
