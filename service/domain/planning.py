"""From a training request to the plan of its job."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from service.domain.plan import Plan
from service.domain.presets import PRESETS
from service.domain.recipe import PanelData, Recipe, Scaling
from service.domain.settling import Lengths, resolve
from service.domain.tuning import make_search
from service.errors import Flaw, InvalidRequest

AUTO = "auto"
# Where it is not told otherwise, it is on series of one's own what `auto` is there.
FLAGSHIP = "flagship"
# What `auto` takes when it is not told.
AUTO_SECONDS = 600.0
# On own series: windows of these shares of the usual one, each in both units. Together they err less than each alone,
# for they err differently.
_WINDOWS_AND_SCALINGS: tuple[tuple[float, Scaling], ...] = (
    (1.0, "standard"),
    (1.5, "mean"),
    (0.75, "standard"),
    (1.0, "mean"),
    (1.5, "standard"),
    (0.75, "mean"),
)
_FOR_SERIES = "mlp"
# A linear member costs seconds, and stays sensible where one long series gives a network too little to learn from.
_LINEAR = "ridge"
# On waves.
_FOR_WAVES = ("wavenet", "gru", "lstm")
# Options that `auto` settles by itself.
_CHOSEN = (
    "window", "scaling", "log", "difference", "units", "layers", "dropout", "recurrent_dropout", "normalization",
    "kernel_initializer", "readout", "ensemble", "head", "tune",
)  # fmt: skip


def plan(request: Mapping[str, Any], data: PanelData | None = None, lengths: Lengths | None = None) -> Plan:
    """The plan of a training request; arguments and errors as of `service.domain.settling.resolve`."""
    given = {key: value for key, value in request.items() if value is not None}
    if given["architecture"] != AUTO:
        recipe = resolve(given, data, lengths)
        if given["architecture"] == FLAGSHIP and lengths is not None and given.keys().isdisjoint(_CHOSEN):
            return Plan(recipe.name, _candidates(recipe, lengths), given.get("max_seconds"))
        tune = given.get("tune")
        return Plan(recipe.name, (recipe,), search=None if tune is None else make_search(tune, given, recipe))
    flaws = [
        Flaw(f"/{option}", "option_not_applicable", f"Architecture 'auto' chooses {option!r} by itself. Leave it out.")
        for option in _CHOSEN
        if option in given
    ]
    if flaws:
        raise InvalidRequest(flaws)
    seconds = float(given.pop("max_seconds", AUTO_SECONDS))
    name = given.setdefault("name", AUTO)
    if data is None or lengths is None:
        recipes = tuple(resolve({**given, "architecture": one}) for one in _FOR_WAVES)
    else:
        recipes = _candidates(resolve({**given, "architecture": _FOR_SERIES}, data, lengths), lengths)
    return Plan(name, recipes, seconds)


def _candidates(usual: Recipe, lengths: Lengths) -> tuple[Recipe, ...]:
    longest = int(max(usual.window, np.quantile(lengths, 0.9) - 2 * usual.evaluated_horizon))
    found: list[Recipe] = []
    for i, (share, scaling) in enumerate(_WINDOWS_AND_SCALINGS):
        whole_seasons = max(1, round(share * usual.window / usual.season)) * usual.season
        window = min(whole_seasons, longest)
        candidate = replace(
            usual, window=window, scaling=scaling, seed=usual.seed + i, min_history=min(usual.min_history, window)
        )
        found.append(candidate)
    shorter = min(usual.season + min(usual.horizon, usual.season), longest)
    linear: tuple[tuple[int, Scaling], ...] = (
        (found[0].window, "standard"),
        (found[0].window, "mean"),
        (shorter, "standard"),
    )
    return (*found, *(_ridge(found[0], window, scaling) for window, scaling in linear))


def _ridge(usual: Recipe, window: int, scaling: Scaling) -> Recipe:
    preset = PRESETS[_LINEAR]
    return replace(
        usual,
        architecture=preset.name,
        readout=preset.readout,
        units=0,
        layers=0,
        dropout=0.0,
        loss="mse",
        epochs=1,
        window=window,
        scaling=scaling,
        min_history=min(usual.min_history, window),
    )
