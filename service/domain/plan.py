"""What a training job is to do: the recipes to fit, of which the best is published."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Plan:
    """One recipe, or several of which validation chooses, also in combination, within `max_seconds`."""

    name: str
    recipes: tuple[Recipe, ...]
    max_seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "recipes": [recipe.to_dict() for recipe in self.recipes],
            "max_seconds": self.max_seconds,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Plan":
        """Rebuilds what `to_dict` gave."""
        recipes = tuple(Recipe.from_dict(recipe) for recipe in fields["recipes"])
        return cls(fields["name"], recipes, fields["max_seconds"])
