"""What is refused of a training request: options that an architecture has not, and values that don't fit each other."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from service.domain.recipes.option import Option
from service.domain.recipes.options import OPTIONS, inapplicable, only_on_own_series
from service.domain.recipes.presets import HEADS, Head, Preset
from service.domain.recipes.recipe import Recipe, SyntheticData
from service.errors import Flaw

Lengths = NDArray[np.int64]

# Theta's matrices grow with the square of its window.
LONGEST_THETA_WINDOW = 1000


def find_inapplicable(
    given: Mapping[str, Any],
    preset: Preset,
    head: Head,
    *,
    is_panel: bool,
    options: tuple[Option, ...] = OPTIONS,
) -> list[Flaw]:
    """Options that the architecture has not: refused, since ignoring them would train another model than asked for."""
    flaws = []
    if head not in preset.heads:
        flaws.append(
            Flaw(
                "/head",
                "head_not_available",
                f"{preset.name} has no {head} head. Choose one of: {', '.join(preset.heads)} (of {', '.join(HEADS)}).",
            )
        )
    for option in sorted(inapplicable(preset, options) & given.keys()):
        flaws.append(
            Flaw(
                f"/{option}",
                "option_not_applicable",
                f"{preset.name} has no option {option!r}. Leave it out.",
            )
        )
    if not is_panel:
        flaws += [
            Flaw(
                f"/{option}",
                "option_not_applicable",
                f"{option!r} is for series of your own (data.kind 'series' or 'dataset'), not for waves. Leave it out.",
            )
            for option in only_on_own_series(preset, options)
            if option in given
        ]
        if given.get("scaling") == "auto":
            flaws.append(
                Flaw(
                    "/scaling",
                    "option_not_applicable",
                    "Scaling 'auto' is chosen on series of your own, not on waves. Name a scaling, or leave it out.",
                )
            )
    if given.get("readout") == "recurrent" and (
        head != "one_step" or given.get("scaling", "auto" if is_panel else "none") != "none"
    ):
        flaws.append(
            Flaw(
                "/readout",
                "option_not_applicable",
                "A recurrent readout ends in tanh and stays within -1 and 1: it fits a one_step head with scaling "
                "'none' only. Use 'dense'.",
            )
        )
    return flaws


def check_wave_recipe(given: Mapping[str, Any], recipe: Recipe) -> list[Flaw]:
    """Values that are right alone and wrong together, of a recipe for waves."""
    flaws = _short_window(given, recipe, "/data/n_steps")
    if recipe.head == "one_step" and recipe.horizon != 1:
        flaws.append(
            Flaw(
                "/horizon",
                "horizon_not_available",
                f"A one_step head forecasts one step: expected horizon 1, got {recipe.horizon}. Leave horizon out, or "
                "choose a vector or sequence head.",
            )
        )
    data = cast(SyntheticData, recipe.data)
    if not flaws and data.n_steps < recipe.window + recipe.horizon:
        flaws.append(
            Flaw(
                "/data/n_steps",
                "series_too_short",
                f"Series of {data.n_steps} points don't hold a window of {recipe.window} and a horizon of "
                f"{recipe.horizon}: expected n_steps of at least {recipe.window + recipe.horizon}.",
            )
        )
    return flaws


def _short_window(given: Mapping[str, Any], recipe: Recipe, otherwise: str) -> list[Flaw]:
    # With two seasons they grow with that of a few days.
    if recipe.preset.base == "theta" and not recipe.seasons and recipe.window > LONGEST_THETA_WINDOW:
        return [
            Flaw(
                "/window" if "window" in given else otherwise,
                "window_too_long",
                f"{recipe.architecture} reads {LONGEST_THETA_WINDOW} points at most, got a window of {recipe.window}. "
                "Give a shorter window.",
            )
        ]
    shortest = recipe.preset.kernel
    if recipe.window - recipe.lag >= shortest:
        return []
    return [
        Flaw(
            "/window" if "window" in given else otherwise,
            "window_too_short",
            f"{recipe.architecture} needs a window of at least {shortest + recipe.lag} points here, got "
            f"{recipe.window}. Give a longer window, or longer series: window + horizon points each.",
        )
    ]


def check_panel_recipe(given: Mapping[str, Any], recipe: Recipe, lengths: Lengths) -> list[Flaw]:
    flaws = _short_window(given, recipe, "/data") if "window" in given else []
    if recipe.difference == "seasonal" and recipe.season == 1 and "difference" in given:
        flaws.append(
            Flaw(
                "/difference",
                "season_needed",
                "Seasonal differences need a season of at least 2 points: give `season`, or a `freq` that has one.",
            )
        )
    if recipe.preset.corrects and recipe.window < recipe.season:
        flaws.append(
            Flaw(
                "/window",
                "window_too_short",
                f"{recipe.architecture} needs a window of at least a season of {recipe.season} points, got "
                f"{recipe.window}. Give a longer window or a shorter season.",
            )
        )
    needed = recipe.min_history + 2 * recipe.evaluated_horizon + recipe.horizon
    longest = int(np.max(lengths))
    if not flaws and longest < needed:
        flaws.append(
            Flaw(
                "/data",
                "series_too_short",
                f"The longest series has {longest} points. With a horizon of {recipe.evaluated_horizon}, held out "
                f"twice to validate and to test, and {recipe.min_history} points to read, training needs at least "
                f"{needed}. Send more history, or ask for a shorter horizon.",
            )
        )
    return flaws
