"""What a training job is to do: the recipes to fit, of which the best is published."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.recipes.recipe import Recipe
from service.domain.recipes.search_space import TuningSearch


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """One recipe, or several of which validation chooses, also in combination, within `max_seconds`.

    With a `search` it is one recipe, whose options are tuned. `with_one_season` takes the place of recipes that know
    two seasons, where the longer one says nothing of the series. Once it has published, the model's oldest versions
    beyond `keep_versions` are removed; None keeps all.
    """

    name: str
    recipes: tuple[Recipe, ...]
    max_seconds: float | None = None
    search: TuningSearch | None = None
    with_one_season: tuple[Recipe, ...] = ()
    keep_versions: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "recipes": [recipe.to_dict() for recipe in self.recipes],
            "max_seconds": self.max_seconds,
            "search": None if self.search is None else self.search.to_dict(),
            "with_one_season": [recipe.to_dict() for recipe in self.with_one_season],
            "keep_versions": self.keep_versions,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "TrainingPlan":
        """Rebuilds what `to_dict` gave."""
        recipes = tuple(Recipe.from_dict(recipe) for recipe in fields["recipes"])
        # A job that was queued by an older server has none of these.
        search = fields.get("search")
        with_one_season = tuple(Recipe.from_dict(recipe) for recipe in fields.get("with_one_season", ()))
        return cls(
            fields["name"],
            recipes,
            fields["max_seconds"],
            None if search is None else TuningSearch.from_dict(search),
            with_one_season,
            fields.get("keep_versions"),
        )
