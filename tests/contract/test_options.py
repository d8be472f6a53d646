"""The API, its checks, the tuner, the command line and the docs have the options that the table has, and no others."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import typer
from pydantic import ValidationError
from typer.testing import CliRunner

from service.api.schemas.train import TrainBody, make_train_body
from service.cli.train import train
from service.cli.training_flags import read_flags
from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.option import NO_MODELS, REQUIRED, Bounds, Derived, Option
from service.domain.recipes.option_checks import find_inapplicable
from service.domain.recipes.options import OPTIONS, TRAINED, TUNE, WAVES
from service.domain.recipes.presets import PRESETS
from service.domain.recipes.recipe import PanelData, Recipe
from service.domain.recipes.resolve import resolve
from service.domain.recipes.search_space import make_search
from service.errors import InvalidRequest
from tests.contract.option_table import PAGE, render

BY_NAME = {option.name: option for option in OPTIONS}
ALL = [*OPTIONS, *(field for option in OPTIONS for field in option.fields)]
# What no request has to do with the table.
BESIDE = {"architecture", "name", "data", "priority", "keep_versions"}
OWN = PanelData("series", "id", "digest", 4, 400, "MS")
LENGTHS = np.array([300] * 4)
# As if somebody had added a row.
ZONEOUT = replace(BY_NAME["dropout"], name="zoneout", default=0.1, on_waves=NO_MODELS)


def value_of(option: Option) -> Any:
    """Some value that the table allows."""
    if option.fields:
        return {field.name: value_of(field) for field in option.fields}
    if option.choices:
        return option.choices[0]
    if option.type is bool:
        return True
    return option.type(option.bounds.ge if option.bounds.ge is not None else option.bounds.le)


def schema_of(option: Option, model: Any = TrainBody) -> dict[str, Any]:
    """What /openapi.json says of an option, without null."""
    schema = model.model_json_schema()
    known: dict[str, Any] = schema["properties"][option.name]
    kind: dict[str, Any] = next((kind for kind in known.get("anyOf", []) if kind != {"type": "null"}), {})
    return {**known, **kind, **schema.get("$defs", {}).get(kind.get("$ref", "").rpartition("/")[2], {})}


def refused(architecture: str, option: Option, *, own: bool) -> bool:
    try:
        resolve({"architecture": architecture, option.name: value_of(option)}, *((OWN, LENGTHS) if own else ()))
    except InvalidRequest as error:
        return (f"/{option.name}", "option_not_applicable") in [(flaw.pointer, flaw.code) for flaw in error.flaws]
    return False


def test_a_request_has_the_options_of_the_table_and_no_others() -> None:
    assert TrainBody.model_json_schema()["properties"].keys() == BESIDE | BY_NAME.keys()
    for option in OPTIONS:
        inner = schema_of(option).get("properties", {})
        assert inner.keys() == {field.name for field in option.fields}


def test_the_waves_of_a_request_are_those_of_the_table() -> None:
    data = TrainBody.model_json_schema()["$defs"]["DataBody"]["properties"]
    assert data.keys() == {"kind", "series", "id", "freq", "missing"} | {option.name for option in WAVES}
    recipe = resolve({"architecture": "lstm"})
    for option in WAVES:
        assert data[option.name]["description"] == option.description
        minimum, maximum = option.bounds.ge, option.bounds.le
        assert data[option.name]["anyOf"][0]["minimum"] == minimum
        assert data[option.name]["anyOf"][0].get("maximum") == maximum
        default = recipe.window + recipe.horizon if isinstance(option.default, Derived) else option.default
        assert getattr(recipe.waves, option.name) == default


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_the_schema_says_of_an_option_what_the_table_says(option: Option) -> None:
    found = schema_of(option)
    kinds = {bool: "boolean", int: "integer", float: "number", dict: "object"}
    assert found["type"] == kinds.get(option.type, "string")
    assert found["description"] == option.description
    assert tuple(found.get("enum", ())) == option.choices
    names = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
    assert {key: found[key] for key in names.values() if key in found} == {
        names[key]: bound for key, bound in option.bounds.given().items()
    }
    assert set(found.get("required", ())) == {field.name for field in option.fields if field.default is REQUIRED}


@pytest.mark.parametrize("architecture", PRESETS)
def test_an_option_is_refused_where_the_table_says_that_a_model_has_it_not(architecture: str) -> None:
    preset = PRESETS[architecture]
    for option in OPTIONS:
        has = option.models.include(preset)
        assert refused(architecture, option, own=True) is not has, option.name
        assert refused(architecture, option, own=False) is not (has and option.on_waves.include(preset)), option.name


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_auto_refuses_what_the_table_says_that_it_chooses(option: Option) -> None:
    request = {"architecture": "auto", option.name: value_of(option)}
    if option.is_auto_choice:
        with pytest.raises(InvalidRequest, match=f"'auto' chooses '{option.name}' by itself"):
            make_training_plan(request, OWN, LENGTHS)
    else:
        make_training_plan(request, OWN, LENGTHS)


def test_defaults_that_need_no_data_are_those_of_the_table() -> None:
    names = {field.name for field in fields(Recipe)}
    for architecture, preset in PRESETS.items():
        recipe = resolve({"architecture": architecture})
        for option in OPTIONS:
            if option.is_settled_by_itself:
                assert option.name in names
                assert getattr(recipe, option.name) == option.settle({}, preset)


@pytest.mark.parametrize("architecture", [name for name, preset in PRESETS.items() if TUNE.models.include(preset)])
@pytest.mark.parametrize("own", [False, True])
def test_the_tuner_tries_what_the_table_says_within_what_a_request_may_ask_for(architecture: str, own: bool) -> None:
    recipe = resolve({"architecture": architecture}, *((OWN, LENGTHS) if own else ()))
    search = make_search({}, {}, recipe)
    assert (search.trials, search.max_seconds) == (20, 600)
    tuned = {option.name for option in OPTIONS if option.search is not None and option.models.include(recipe.preset)}
    # Of those that have it, only recurrent models stay the network that they are.
    assert tuned - {"normalization"} <= {dimension.option for dimension in search.space} <= tuned
    for dimension in search.space:
        others = make_search({}, {dimension.option: 1}, recipe).space
        assert others == tuple(other for other in search.space if other != dimension)
        usual = getattr(recipe, dimension.option)
        for value in dimension.choices or (dimension.low, usual, dimension.high):
            make_train_body().model_validate({"architecture": architecture, dimension.option: value})
        assert usual in dimension.choices or dimension.low <= usual <= dimension.high


def test_every_option_is_a_flag_of_the_command_line() -> None:
    app = typer.Typer()
    app.command()(train)
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "300"}).output
    flags = [option for option in ALL if not option.fields and option.has_flag]
    for option in flags:
        assert f"--{option.name.replace('_', '-')} " in shown, option.name
    asked = {option.name: None for option in flags}
    assert read_flags(asked | {"patience": 3, "units": 8, "log": False}) == {
        "early_stopping": {"patience": 3},
        "units": 8,
        "log": False,
    }


def test_the_docs_show_the_table() -> None:
    assert render() in PAGE.read_text(), "run python -m tests.contract.option_table"


def test_a_new_row_is_all_that_a_new_option_needs_outside_the_code_that_uses_it() -> None:
    options = (*OPTIONS, ZONEOUT)
    body = make_train_body(options)
    assert schema_of(ZONEOUT, body)["exclusiveMaximum"] == 1
    assert body.model_validate({"architecture": "lstm", "zoneout": 0.3}).model_dump(exclude_none=True)["zoneout"] == 0.3
    for wrong in (1.0, -0.1, "a", True):
        with pytest.raises(ValidationError):
            body.model_validate({"architecture": "lstm", "zoneout": wrong})
    given = {"zoneout": 0.3}
    for architecture, own, message in (
        ("lstm", True, None),
        ("lstm", False, "is for series of your own"),
        ("naive", True, "naive has no option 'zoneout'"),
    ):
        preset = PRESETS[architecture]
        flaws = find_inapplicable(given, preset, preset.head, is_panel=own, options=options)
        assert [flaw.pointer for flaw in flaws] == ([] if message is None else ["/zoneout"])
        assert all(message is not None and message in flaw.message for flaw in flaws)
    assert ZONEOUT.is_settled_by_itself
    assert (ZONEOUT.settle({}, PRESETS["lstm"]), ZONEOUT.settle(given, PRESETS["lstm"])) == (0.1, 0.3)
    assert "| `zoneout` | number, at least 0, below 1 |" in render(options)


def test_a_new_row_may_be_tuned() -> None:
    recipe = resolve({"architecture": "lstm"})
    epochs = Option("epochs", int, "..", Bounds(ge=1), models=TRAINED, search=BY_NAME["layers"].search)
    space = make_search({}, {}, recipe, (*OPTIONS, epochs)).space
    assert (space[-1].option, space[-1].kind, space[-1].low, space[-1].high) == ("epochs", "int", 1, recipe.epochs + 1)
