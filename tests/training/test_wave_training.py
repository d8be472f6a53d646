"""Training on the chapter's waves."""

from service.domain.recipes.resolve import resolve
from service.training.wave_training import share_seconds


def test_the_members_of_an_ensemble_share_its_seconds() -> None:
    recipe = resolve({"architecture": "lstm", "ensemble": {"members": 4}, "max_seconds": 8})
    assert [member.max_seconds for member in share_seconds(recipe.members)] == [2.0] * 4
    alone = resolve({"architecture": "lstm", "max_seconds": 8})
    assert share_seconds([alone]) == [alone]
    endless = resolve({"architecture": "lstm", "ensemble": {"members": 2}})
    assert share_seconds(endless.members) == list(endless.members)
