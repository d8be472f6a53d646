"""Words that nobody knows are refused, and not taken for others."""

from dataclasses import replace
from typing import Any

import pytest

from service.domain.recipes.network_size import count_weights
from service.domain.recipes.presets import PRESETS, Body, Readout
from service.domain.recipes.recipe import Recipe
from service.domain.recipes.resolve import resolve


@pytest.mark.parametrize("field", ["body", "head", "readout", "base", "normalization"])
def test_a_preset_of_unknown_parts_can_not_be_made(field: str) -> None:
    unknown: dict[str, Any] = {field: "transformer"}
    with pytest.raises(ValueError, match=f"There is no {field} 'transformer': expected one of"):
        replace(PRESETS["lstm"], **unknown)


@pytest.mark.parametrize("field", ["head", "readout", "normalization"])
def test_a_stored_recipe_of_unknown_parts_is_refused(field: str) -> None:
    stored = resolve({"architecture": "lstm"}).to_dict()
    with pytest.raises(ValueError, match=f"There is no {field} 'transformer'"):
        Recipe.from_dict({**stored, field: "transformer"})


@pytest.mark.parametrize(
    ("body", "readout"), [("naive", "dense"), ("window", "dense"), ("linear", "decoder"), ("wavenet", "recurrent")]
)
def test_memory_is_not_estimated_of_a_body_and_a_readout_that_do_not_belong_together(
    body: Body, readout: Readout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "lstm", replace(PRESETS["lstm"], body=body, readout=readout))
    with pytest.raises(ValueError, match=f"a {body} body has no"):
        count_weights(resolve({"architecture": "lstm", "head": "one_step"}))
