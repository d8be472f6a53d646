"""Fits recipes to the user's own series, and scores forecasts and baselines on their held-out windows."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.baselines import seasonal_naive
from service.domain.linear_baseline import fit_forecaster
from service.domain.metrics import score
from service.domain.panel_windows import Positions, TrainingWindows
from service.domain.recipes.recipe import Recipe
from service.networks.network import Network, make_network
from service.training.data.panel_split import PreparedPanel, ScoredWindows, shortened
from service.training.data.window_sampler import Importance, WindowSampler
from service.training.epoch import Epoch
from service.training.fits import FitOutcome, Fits, FitTask, Part
from service.training.progress import REFIT_SHARE, refit_epochs
from service.training.reference_forecast import Forecaster
from service.training.scaling_selection import choose_transform

Array = NDArray[np.float64]


# Validation windows that a fit is watched on, epoch by epoch; scored are all of them.
MOST_WATCHED = 2000
MOST_WATCHED_VALUES = 20_000_000
# Windows whose inputs are in memory at once.
ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted recipe: one network, or one for each member; its validation forecasts [n, horizon] and seconds.

    `cross_weighed` are those forecasts with weights that come from other windows, where there are weights.
    """

    recipe: Recipe
    networks: list[Network]
    epochs: list[Epoch]
    validation: Array
    seconds: float
    cross_weighed: Array | None = None


class PanelWindows:
    """A panel's windows, as tasks want them."""

    def __init__(self, prepared: PreparedPanel, cut_for: Recipe | None = None) -> None:
        """Args: `cut_for` is the recipe that the panel was cut for, if it is kept where others find it too."""
        self.prepared = prepared
        self.description = None if cut_for is None else {"cut_for": cut_for.to_dict()}
        self._importance: dict[tuple[Part, int], Importance] = {}

    @cached_property
    def digest(self) -> str:
        """Of all that windows are made of."""
        rows, cut = self.prepared.rows, self.prepared.split.train_ends
        held_out = self.prepared.validation
        digest = hashlib.sha256()
        measured = () if rows.is_complete else (rows.measured,)
        for array in (rows.flat, *measured, rows.lengths, cut, held_out.series, held_out.ends):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def ends(self, before: Part) -> Positions:
        """How many points of each series a fit may see [n_series]."""
        rows = self.prepared.rows
        if before == "validation":
            return self.prepared.split.train_ends
        return rows.lengths if before == "end" else np.maximum(rows.lengths - self.prepared.horizon, 0)

    def draw(self, task: FitTask) -> tuple[WindowSampler, TrainingWindows]:
        """The task's windows, and those of validation."""
        ends = self.ends(task.before)
        place = task.before, task.season
        if place not in self._importance:
            self._importance[place] = Importance(self.prepared.rows, ends, task.season)
        sampler = WindowSampler(task.recipe, self.prepared.rows, ends, self._importance[place])
        return sampler, sampler.windows(*_readable(self.prepared.validation, task.recipe), last_only=True)


def fit_panel(
    recipe: Recipe, windows: PanelWindows, fits: Fits, on_epoch: Callable[[Epoch], None] = lambda epoch: None
) -> Fitted:
    """Fits a recipe to what training may see, of an ensemble each member, and forecasts the validation windows."""
    recipe = settle(recipe, windows.prepared)
    return assemble(recipe, fits.run_all(make_tasks(recipe), windows, on_epoch), windows.prepared)


def settle(recipe: Recipe, prepared: PreparedPanel) -> Recipe:
    """The recipe with what is chosen on validation."""
    return choose_transform(recipe, prepared) if recipe.chosen_on_validation else recipe


def make_tasks(recipe: Recipe) -> list[FitTask]:
    """What is to be fitted of a settled recipe: itself, or each of its members."""
    members = _members(recipe)
    return [FitTask(_share_seconds(member, len(members)), season=recipe.season) for member in members]


def assemble(recipe: Recipe, outcomes: Sequence[FitOutcome], prepared: PreparedPanel) -> Fitted:
    """A fitted recipe of the outcomes of its tasks."""
    networks = []
    for member, outcome in zip(_members(recipe), outcomes, strict=True):
        networks.append(make_network(member))
        outcome.give_to(networks[-1])
    return Fitted(
        recipe,
        networks,
        [epoch for outcome in outcomes for epoch in outcome.epochs],
        forecast_windows(recipe, networks, prepared, prepared.validation),
        sum(outcome.seconds for outcome in outcomes),
    )


def assemble_known(recipe: Recipe, outcomes: Sequence[FitOutcome | None], prepared: PreparedPanel) -> Fitted | None:
    """As `assemble`, of an ensemble without the members that have no outcome; None where nothing has one."""
    known = [(member, outcome) for member, outcome in zip(_members(recipe), outcomes, strict=True) if outcome]
    if not known:
        return None
    if len(known) < len(outcomes):
        recipe = replace(recipe, members=tuple(member for member, _ in known))
    return assemble(recipe, [outcome for _, outcome in known], prepared)


def make_further_tasks(fitted: Fitted, windows: PanelWindows, before: Part) -> list[FitTask]:
    """Tasks that go on for a few epochs with points that the fits before didn't see, a task for each member.

    What is not fitted has an empty one.
    """
    rows, ends = windows.prepared.rows, windows.ends(before)
    tasks = []
    for member, network in zip(_members(fitted.recipe), fitted.networks, strict=True):
        again = member
        if member.preset.is_fitted and member.epochs:
            again = shortened(
                _share_seconds(member, len(fitted.networks)),
                refit_epochs(member.epochs),
                seed=member.seed + int(ends[rows.learnable(ends)].sum()) % 1000 + 1,
            )
        tasks.append(FitTask(again, before, fitted.recipe.season, network))
    return tasks


def _members(recipe: Recipe) -> tuple[Recipe, ...]:
    return recipe.members or (recipe,)


def _share_seconds(member: Recipe, n_members: int) -> Recipe:
    """A member with its part of the seconds that all have together for fitting and going on twice."""
    if member.max_seconds is None:
        return member
    return replace(member, max_seconds=member.max_seconds / n_members / (1 + 2 * REFIT_SHARE))


def forecast_windows(
    recipe: Recipe, networks: Sequence[Network], prepared: PreparedPanel, windows: ScoredWindows
) -> Array:
    """Forecasts of scored windows: [n, horizon]."""
    forecaster = Forecaster(recipe, networks)
    forecasts = np.empty((len(windows), prepared.horizon))
    for first in range(0, len(windows), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        inputs = prepared.rows.inputs(windows.series[rows], windows.ends[rows], recipe.longest_window)
        forecasts[rows] = forecaster.forecast(inputs, prepared.horizon)
    return forecasts


def score_baselines(recipe: Recipe, prepared: PreparedPanel) -> dict[str, Any]:
    """Scores of naive, seasonal naive and linear (least squares on what training may see) on the same windows."""
    horizon = prepared.horizon
    forecasters: dict[str, Callable[[list[Array]], Array]] = {
        "naive": lambda histories: np.stack([np.full(horizon, history[-1]) for history in histories]),
        "seasonal_naive": lambda histories: _forecast_seasonally(histories, horizon, recipe.season),
    }
    ends = prepared.split.train_ends
    trained_on = [history for history in prepared.histories(ends) if len(history)]
    measured = [prepared.rows.measured_history(i, int(end)) for i, end in enumerate(ends) if end]
    try:
        linear = fit_forecaster(trained_on, recipe.window, horizon, measured)
        forecasters["linear"] = linear.forecast
    except ValueError:
        # Too few windows to fit it: the row is left out.
        pass
    scores: dict[str, Any] = {}
    for name, forecaster in forecasters.items():
        scores[name] = {}
        for part, windows in (("validation", prepared.validation), ("test", prepared.test)):
            if len(windows):
                histories = [
                    prepared.rows.history(int(i), int(end)) for i, end in zip(windows.series, windows.ends, strict=True)
                ]
                scores[name][part] = score(windows.actual, forecaster(histories), windows.scale)
    return scores


def forecast_seasonally(prepared: PreparedPanel, windows: ScoredWindows, season: int) -> Array:
    """The seasonal naive forecasts of windows [n, horizon]; naive ones of histories shorter than a season."""
    ends = zip(windows.series, windows.ends, strict=True)
    return _forecast_seasonally([prepared.rows.history(int(i), int(end)) for i, end in ends], prepared.horizon, season)


def _forecast_seasonally(histories: list[Array], horizon: int, season: int) -> Array:
    return np.stack([seasonal_naive(h[None], horizon, season if len(h) >= season else 1)[0] for h in histories])


def _readable(windows: ScoredWindows, member: Recipe) -> tuple[Positions, Positions]:
    """The windows whose histories a member can read; of very many an even choice, as many as memory is good for."""
    enough = np.flatnonzero(windows.ends >= member.min_history)
    steps = member.window if member.head == "sequence" else 1
    most = max(1, min(MOST_WATCHED, MOST_WATCHED_VALUES // (steps * member.horizon)))
    if len(enough) > most:
        enough = enough[np.linspace(0, len(enough) - 1, most).astype(int)]
    return windows.series[enough], windows.ends[enough]


def combine(fitted: Sequence[Fitted], weights: Sequence[float], name: str, cross_weighed: Array) -> Fitted:
    """Fits as one ensemble, whose forecast is the weighted mean of theirs; `cross_weighed` as of `Fitted`."""
    # It is called after a member that learns, where there is one.
    first = next((candidate.recipe for candidate in fitted if candidate.recipe.preset.is_fitted), fitted[0].recipe)
    members = tuple(
        replace(member, weight=weight / len(_members(candidate.recipe)))
        for candidate, weight in zip(fitted, weights, strict=True)
        for member in _members(candidate.recipe)
    )
    recipe = replace(first, name=name, head="vector", members=members)
    return Fitted(
        recipe,
        [network for candidate in fitted for network in candidate.networks],
        [epoch for candidate in fitted for epoch in candidate.epochs],
        np.average([candidate.validation for candidate in fitted], axis=0, weights=weights),
        sum(candidate.seconds for candidate in fitted),
        cross_weighed,
    )
