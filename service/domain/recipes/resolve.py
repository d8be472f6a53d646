"""From a training request to recipes: every option settled and checked against the others and against the data."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from service.domain.recipes.option_checks import Lengths, check_panel_recipe, check_wave_recipe, find_inapplicable
from service.domain.recipes.options import DEFAULT_HORIZON, DEFAULT_WINDOW, OPTIONS
from service.domain.recipes.presets import PRESETS, Head, Preset, Readout
from service.domain.recipes.recipe import PanelData, Recipe, SyntheticData
from service.domain.recipes.season_defaults import (
    choose_experts_window,
    choose_horizon,
    choose_season,
    choose_seasons,
    choose_theta_window,
    choose_window,
    choose_window_of_two,
    whole_seasons,
)
from service.errors import InvalidRequest

# Batches of an epoch on a panel: as many windows are drawn anew each time.
BATCHES_PER_EPOCH = 100
PANEL_BATCH_SIZE = 128
# Of longer windows of experts an epoch has as many batches less, down to so many.
WINDOW_OF_EXPERTS, FEWEST_BATCHES = 256, 10
# Where a base reads the whole window, the layers that correct it read so much of what would be theirs alone.
FOCUS = 0.75


def resolve(
    request: Mapping[str, Any],
    data: PanelData | None = None,
    lengths: Lengths | None = None,
    *,
    knows_two_seasons: bool = True,
) -> Recipe:
    """Settles every option of a training request whose types and ranges are already checked.

    Args:
        request: the fields of `POST /train`; only `architecture` is required, None counts as not given.
        data: the user's series, where the request is to train on them.
        lengths: how many points each of them has, leading nulls not counted.
        knows_two_seasons: whether what has a base knows the season beyond the usual one too, where there is one.

    Raises:
        InvalidRequest: an unknown architecture, or options that don't fit each other; one flaw for each.
    """
    given = {key: value for key, value in request.items() if value is not None}
    preset = PRESETS.get(given["architecture"])
    if preset is None:
        raise InvalidRequest.at(
            "/architecture",
            "unknown_architecture",
            f"There is no architecture {given['architecture']!r}. Choose one of: {', '.join(PRESETS)}, 'auto' for the "
            "best of a few, or 'chapter' for all of the chapter's.",
        )
    head: Head = given.get("head", preset.head)
    flaws = find_inapplicable(given, preset, head, is_panel=data is not None)
    if data is None or lengths is None:
        recipe = _settle(given, preset, head, _synthetic(given, preset, head))
        flaws += check_wave_recipe(given, recipe)
    else:
        recipe = _settle(given, preset, head, _panel(given, preset, head, data, lengths, knows_two_seasons))
        flaws += check_panel_recipe(given, recipe, lengths)
    if flaws:
        raise InvalidRequest(flaws)
    return recipe


def _settle(given: Mapping[str, Any], preset: Preset, head: Head, settled: Mapping[str, Any]) -> Recipe:
    """`settled` holds what depends on the kind of data."""
    is_panel = "season" in settled
    sizes = PRESETS[preset.on_panels] if is_panel and preset.on_panels else preset
    early_stopping = given.get("early_stopping")
    members = given.get("ensemble", {}).get("members", 1)
    by_themselves = {option.name: option.settle(given, sizes) for option in OPTIONS if option.is_settled_by_itself}
    recipe = Recipe(
        architecture=preset.name,
        name=given.get("name", preset.name),
        readout=_readout(given, preset, head, settled["scaling"]),
        epochs=_epochs(given, preset, is_panel=is_panel),
        patience=None if early_stopping is None else early_stopping["patience"],
        **by_themselves,
        **settled,
    )
    if members == 1:
        return recipe
    return replace(recipe, members=tuple(replace(recipe, seed=recipe.seed + i) for i in range(members)))


def _epochs(given: Mapping[str, Any], preset: Preset, *, is_panel: bool) -> int:
    if not preset.is_fitted:
        return 0
    if preset.is_solved:
        return 1
    epochs: int = given.get("epochs", preset.panel_epochs if is_panel else preset.epochs)
    return epochs


def _synthetic(given: Mapping[str, Any], preset: Preset, head: Head) -> dict[str, Any]:
    """Window, horizon and the waves' length, each from the others where it is not given."""
    horizon: int = given.get("horizon", 1 if head == "one_step" else DEFAULT_HORIZON)
    fields = dict(given.get("data", {}))
    n_steps: int | None = fields.get("n_steps")
    window: int = given.get("window", DEFAULT_WINDOW if n_steps is None else n_steps - horizon)
    fields["n_steps"] = window + horizon if n_steps is None else n_steps
    return {
        "window": window,
        "horizon": horizon,
        "evaluated_horizon": horizon,
        "scaling": given.get("scaling", "none"),
        "loss": given.get("loss", "mse"),
        # A sequence head has as many answers of each window as it has points.
        "batch_size": given.get("batch_size", preset.batch_size if head != "sequence" else 32),
        "max_windows": given.get("max_windows", preset.fresh_windows),
        "data": replace(SyntheticData(), **fields),
    }


def _panel(
    given: Mapping[str, Any],
    preset: Preset,
    head: Head,
    data: PanelData,
    lengths: Lengths,
    knows_two_seasons: bool,
) -> dict[str, Any]:
    """Season, horizon and window from frequency and lengths where they are not given; the rest as panels want it."""
    season: int = given.get("season", choose_season(data.freq, lengths))
    horizon: int = given.get("horizon", choose_horizon(season, lengths))
    usual_window = choose_window(season, horizon, lengths)
    focus = 0
    if preset.base == "theta":
        focus = whole_seasons(FOCUS * usual_window, season)
        usual_window = choose_theta_window(season)
    seasons = _seasons(given, preset, season, horizon, data, lengths) if knows_two_seasons else ()
    if seasons and preset.corrects:
        usual_window, focus = choose_window_of_two(seasons, horizon, lengths)
    if preset.readout == "experts":
        usual_window = choose_experts_window(seasons or (season,), horizon, lengths)
    window: int = given.get("window", usual_window)
    batch_size: int = given.get("batch_size", PANEL_BATCH_SIZE)
    scaling = given.get("scaling", "auto")
    own_choice = preset.corrects
    chosen = scaling == "auto" and not own_choice and preset.is_fitted
    # Of sparse demand a difference is zero nearly everywhere, and twice as noisy where it is not.
    is_level = preset.is_baseline or not chosen or data.is_intermittent
    usual = "none" if is_level else "first" if season == 1 else "seasonal"
    difference = given.get("difference", usual)
    lag = {"none": 0, "first": 1, "seasonal": max((season, *seasons))}[difference]
    if "window" not in given and lag > 1:
        # So that as many differences are left as values would have been read.
        window += lag
    return {
        "window": window,
        # A one-step head forecasts one step; what is asked for is how far its roll-out is scored and calibrated.
        "horizon": 1 if head == "one_step" else horizon,
        "evaluated_horizon": horizon,
        "season": season,
        "seasons": seasons,
        "focus": min(focus, window) if preset.is_fitted else 0,
        "scaling": ("mean" if own_choice else "standard" if preset.is_fitted else "none")
        if scaling == "auto"
        else scaling,
        "difference": difference,
        "chosen_on_validation": chosen,
        "min_history": _min_history(preset, seasons or (season,), window, horizon, lag, lengths),
        "loss": "mse" if preset.is_solved else given.get("loss", "mse" if data.is_intermittent else "mae"),
        "batch_size": batch_size,
        "max_windows": given.get("max_windows", _n_batches(preset, window) * batch_size),
        "refit": given.get("refit", True) and preset.is_fitted,
        "data": data,
    }


def _seasons(
    given: Mapping[str, Any], preset: Preset, season: int, horizon: int, data: PanelData, lengths: Lengths
) -> tuple[int, ...]:
    """The two seasons that a preset's base knows, or of which it reads differences against the longer one."""
    # Of sparse demand single repetitions tell little.
    if (not preset.is_fitted and not preset.corrects) or preset.is_baseline or data.is_intermittent:
        return ()
    seasons = choose_seasons(data.freq, season, horizon, lengths)
    if preset.corrects:
        # Experts of the long season are learnt from two of them.
        least = sum(seasons) + (max(seasons, default=0) if preset.readout == "experts" else 0)
        return seasons if given.get("window", least) >= least else ()
    # Differences are against the long season, where nobody has said what is to be read.
    is_free = given.keys().isdisjoint(("window", "scaling", "difference"))
    return seasons if is_free and season == min(seasons, default=0) else ()


def _n_batches(preset: Preset, window: int) -> int:
    """Batches of an epoch: fewer where experts forecast from five points of long windows, which takes its time."""
    if preset.readout != "experts" or window <= WINDOW_OF_EXPERTS:
        return BATCHES_PER_EPOCH
    return max(FEWEST_BATCHES, BATCHES_PER_EPOCH * WINDOW_OF_EXPERTS // window)


def _min_history(
    preset: Preset, seasons: tuple[int, ...], window: int, horizon: int, lag: int, lengths: Lengths
) -> int:
    """The fewest points that a training window reads: two seasons, less where that would leave out short series."""
    if preset.is_fixed_length:
        return window
    least = lag + preset.kernel
    # Most short series should be validated, and every other one trained on.
    affordable = min(int(np.quantile(lengths, 0.1)) - 2 * horizon, int(np.median(lengths)) - 3 * horizon)
    wanted = sum(seasons) + seasons[-1]
    if len(seasons) > 1:
        # What is left to draw windows from is a long season at least.
        wanted = min(wanted, max(sum(seasons), affordable - seasons[-1]))
    return max(least, min(window, max(wanted, 4), affordable))


def _readout(given: Mapping[str, Any], preset: Preset, head: Head, scaling: str) -> Readout:
    """A last recurrent unit ends in tanh and can't leave one standard deviation: only unscaled data may use it."""
    bounded_fits = head == "one_step" and scaling == "none"
    if preset.readout == "recurrent" and not bounded_fits:
        return "dense"
    return cast(Readout, given.get("readout", preset.readout))
