"""From a training request to the plan of its job."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np

from service.domain.recipes.option_checks import Lengths
from service.domain.recipes.options import AUTO_SECONDS, OPTIONS
from service.domain.recipes.presets import PRESETS
from service.domain.recipes.recipe import PanelData, Recipe, Scaling
from service.domain.recipes.resolve import WINDOW_OF_EXPERTS, resolve
from service.domain.recipes.search_space import make_search
from service.domain.recipes.season_defaults import choose_experts_window, choose_theta_window, whole_seasons
from service.domain.recipes.training_plan import TrainingPlan
from service.errors import Flaw, InvalidRequest

AUTO = "auto"
# Where it is not told otherwise, it is on series of one's own what `auto` is there.
FLAGSHIP = "flagship"
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
# Of series with two seasons: how much of the window the layers read that correct the base.
_SPANS_AND_SCALINGS: tuple[tuple[str, Scaling], ...] = (
    ("weeks", "standard"),
    ("week", "mean"),
    ("days", "standard"),
    ("weeks", "mean"),
    ("window", "standard"),
    ("days", "mean"),
)
_SPANS_OF_LINEAR: tuple[tuple[str, Scaling], ...] = (("weeks", "standard"), ("week", "mean"), ("days", "standard"))
# Layers that correct the Theta method cost twice as much, and differ enough if there are a few.
_SPANS_OF_CORRECTED: tuple[tuple[str, Scaling], ...] = (("weeks", "mean"), ("days", "standard"))
_DAYS_READ = 4
_FOR_SERIES = "mlp"
# The Theta method by itself and as what networks correct: they err differently again. Their layers read these shares of
# the usual window.
_CLASSICAL = "theta"
_CORRECTED = "theta_mlp"
_FOCUSES = (0.75, 1.0, 0.5) * 2
# Of longer seasons its window holds two or three, too few for a trend that lasts another season; and layers that
# correct it would cost minutes.
_LONGEST_SEASON_OF_THETA = 52
# The model of forecasts without training: of series without much of a past, and of levels that shift, it knows more.
_PRETRAINED = "zero_shot"
# Windows of more points are not fitted to: that would cost minutes, and gains most of many short series.
_LONGEST_FINE_TUNED = WINDOW_OF_EXPERTS
# A linear member costs seconds, and stays sensible where one long series gives a network too little to learn from.
_LINEAR = "ridge"
# How often something is asked for every few weeks, no window shows that is meant for the pattern of a week.
_OF_RARE_DEMAND = 3
# On waves.
_FOR_WAVES = ("wavenet", "gru", "lstm")
# Options that `auto` settles by itself.
_CHOSEN = tuple(option.name for option in OPTIONS if option.is_auto_choice)


def make_training_plan(
    request: Mapping[str, Any], data: PanelData | None = None, lengths: Lengths | None = None
) -> TrainingPlan:
    """The plan of a training request; arguments and errors as of `service.domain.recipes.resolve.resolve`."""
    plan = _plan(request, data, lengths, knows_two_seasons=True)
    if not any(recipe.seasons for recipe in plan.recipes):
        return plan
    return replace(plan, with_one_season=_plan(request, data, lengths, knows_two_seasons=False).recipes)


def _plan(
    request: Mapping[str, Any], data: PanelData | None, lengths: Lengths | None, *, knows_two_seasons: bool
) -> TrainingPlan:
    given = {key: value for key, value in request.items() if value is not None}
    if given["architecture"] != AUTO:
        recipe = resolve(given, data, lengths, knows_two_seasons=knows_two_seasons)
        if given["architecture"] == FLAGSHIP and lengths is not None and given.keys().isdisjoint(_CHOSEN):
            return TrainingPlan(recipe.name, _candidates(recipe, lengths), given.get("max_seconds"))
        tune = given.get("tune")
        return TrainingPlan(recipe.name, (recipe,), search=None if tune is None else make_search(tune, given, recipe))
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
        recipes = tuple(resolve({**given, "architecture": architecture}) for architecture in _FOR_WAVES)
    else:
        usual = resolve({**given, "architecture": _FOR_SERIES}, data, lengths, knows_two_seasons=knows_two_seasons)
        recipes = _candidates(usual, lengths)
    return TrainingPlan(name, recipes, seconds)


def _candidates(usual: Recipe, lengths: Lengths) -> tuple[Recipe, ...]:
    """What is fitted, the quick ones early, so that of every kind there is one when the time runs out."""
    if usual.seasons:
        return _candidates_of_two_seasons(usual, _pretrained(usual, lengths))
    longest = int(max(usual.window, np.quantile(lengths, 0.9) - 2 * usual.evaluated_horizon))
    networks: list[Recipe] = []
    for i, (share, scaling) in enumerate(_WINDOWS_AND_SCALINGS):
        window = min(whole_seasons(share * usual.window, usual.season), longest)
        candidate = replace(
            usual, window=window, scaling=scaling, seed=usual.seed + i, min_history=min(usual.min_history, window)
        )
        networks.append(candidate)
    first, *others = networks
    shorter = min(usual.season + min(usual.horizon, usual.season), longest)
    linear: tuple[tuple[int, Scaling], ...] = (
        (first.window, "standard"),
        (first.window, "mean"),
        (shorter, "standard"),
    )
    is_intermittent = usual.own_data is not None and usual.own_data.is_intermittent
    if is_intermittent:
        longer = min(_OF_RARE_DEMAND * first.window, longest)
        linear = tuple((window, scaling) for window in (first.window, longer) for scaling in ("standard", "mean"))
    ridges = [_ridge(first, window, scaling) for window, scaling in linear]
    theta, *corrected = _thetas(usual)
    pretrained = _pretrained(usual, lengths)
    if usual.season > _LONGEST_SEASON_OF_THETA:
        classical = [theta] if usual.horizon < usual.season else []
        return (first, *classical, pretrained, *ridges, *others)
    if is_intermittent:
        # Sparse demand has no trend to go on with, and Theta would take it below zero.
        return (first, pretrained, *ridges, *others)
    turns = [recipe for pair in zip_longest(corrected, others) for recipe in pair if recipe is not None]
    return (first, theta, pretrained, *ridges, *turns)


def _candidates_of_two_seasons(usual: Recipe, pretrained: Recipe) -> tuple[Recipe, ...]:
    """As `_candidates`, of series with a season beyond the usual one."""
    short, long = usual.seasons
    spans = {"days": _DAYS_READ * short, "week": long + short, "weeks": 2 * long + short, "window": usual.window}

    def reading(recipe: Recipe, span: str, scaling: Scaling) -> Recipe:
        return replace(recipe, focus=min(spans[span], usual.window), scaling=scaling)

    def correcting(architecture: str, seed: int, span: str, scaling: Scaling) -> Recipe:
        return replace(reading(usual, span, scaling), architecture=architecture, seed=usual.seed + seed)

    first, *others = (correcting(_FOR_SERIES, i, *read) for i, read in enumerate(_SPANS_AND_SCALINGS))
    n_networks = len(_SPANS_AND_SCALINGS)
    corrected = [correcting(_CORRECTED, n_networks + i, *read) for i, read in enumerate(_SPANS_OF_CORRECTED)]
    ridges = [reading(_ridge(usual, usual.window, scaling), span, scaling) for span, scaling in _SPANS_OF_LINEAR]
    turns = [recipe for pair in zip_longest(corrected, others) for recipe in pair if recipe is not None]
    return (first, pretrained, *ridges, *turns)


def _thetas(usual: Recipe) -> list[Recipe]:
    """The Theta method, and networks that correct it."""
    window = choose_theta_window(usual.season)
    looking_back = replace(usual, window=window, scaling="mean", min_history=min(usual.min_history, window))
    theta = replace(_without_layers(looking_back, _CLASSICAL), epochs=0)
    return [theta] + [
        replace(
            looking_back,
            architecture=_CORRECTED,
            focus=min(whole_seasons(share * usual.window, usual.season), window),
            seed=usual.seed + len(_WINDOWS_AND_SCALINGS) + i,
        )
        for i, share in enumerate(_FOCUSES)
    ]


def _pretrained(usual: Recipe, lengths: Lengths) -> Recipe:
    """The zero-shot model, fine-tuned where windows are short."""
    preset = PRESETS[_PRETRAINED]
    window = choose_experts_window(usual.seasons or (usual.season,), usual.evaluated_horizon, lengths)
    return replace(
        _without_layers(usual, _PRETRAINED),
        # Smaller steps than usual, since it does not begin with nothing.
        learning_rate=usual.learning_rate * preset.learning_rate / PRESETS[_FOR_SERIES].learning_rate,
        epochs=min(usual.epochs, preset.panel_epochs) if window <= _LONGEST_FINE_TUNED else 0,
        window=window,
        focus=0,
        scaling="mean",
        min_history=min(usual.min_history, window),
    )


def _ridge(usual: Recipe, window: int, scaling: Scaling) -> Recipe:
    return replace(
        _without_layers(usual, _LINEAR),
        loss="mse",
        epochs=1,
        window=window,
        scaling=scaling,
        min_history=min(usual.min_history, window),
    )


def _without_layers(usual: Recipe, architecture: str) -> Recipe:
    """A recipe of an architecture that has no layers of its own."""
    readout = PRESETS[architecture].readout
    return replace(usual, architecture=architecture, readout=readout, units=0, layers=0, dropout=0.0)
