"""How much memory a training takes, estimated from its plan before anything is computed.

Counted is what grows with a request: its data, the weights with the optimiser's state, what a step of training keeps
to go backwards, and the compiled program. The factors were measured (`make bench-memory`, docs/benchmarks.md); they
are to be right within a factor of two, and rather too high.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.domain.recipes.network_size import count_answers, count_layers_in_one, count_row_numbers, count_weights
from service.domain.recipes.recipe import PanelData, Recipe
from service.domain.recipes.search_space import change
from service.domain.recipes.training_plan import TrainingPlan
from service.errors import InvalidRequest

FLOAT = 4
DOUBLE = 8
# The process that fits and the one that exports, before they hold anything of a job.
PROCESSES_BYTES = 3 * 2**29
# Of a compiled program, and of each of its layers.
PROGRAM_BYTES = 100 * 2**20
LAYER_BYTES = 12 * 2**20
# Batches that one call of a program takes (`service.training.jax_trainer.fitting`), and copies of them on their way.
BATCHES_AT_ONCE = 16
BATCH_COPIES = 3
# Rows of a call in validation, and most windows that a fit on series of one's own is watched on.
ROWS_AT_ONCE = 500
MOST_WATCHED = 2000
# Copies of the weights: in the network, on their way to the program and from it, the gradients; while the program runs
# it holds what it was given beside what it gives.
WEIGHT_COPIES = 4
STATE_COPIES = 3
# Those in the process that exports, its graphs and files.
EXPORT_COPIES = 10
SLOTS = {"adam": 2, "nadam": 2, "rmsprop": 1, "sgd": 0}
# Of the points of one's own series, which are mapped from their file; where some are missing there are two copies of
# them, in files as well, whose pages the system takes back.
POINT_BYTES = DOUBLE + FLOAT
# Of each of their series: what is measured of it, its forecasts and scores.
SERIES_BYTES = 1000
# Windows that are scored at once.
SCORED_AT_ONCE = 10_000
# Points of the windows that the linear baseline is fitted to (`service.domain.linear_baseline`), and copies of them.
MOST_BASELINE_CELLS, BASELINE_COPIES = 2**23, 5


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes. `rest` is what any training takes."""

    data: float
    weights: float
    activations: float
    program: float
    rest: float = PROCESSES_BYTES

    @property
    def total(self) -> float:
        return self.data + self.weights + self.activations + self.program + self.rest

    def describe(self) -> str:
        """The figures for people."""
        parts = {"data": self.data, "weights": self.weights, "activations": self.activations, "program": self.program}
        named = ", ".join(f"{name} {_gigabytes(count)}" for name, count in parts.items())
        return f"{_gigabytes(self.total)} ({named}, processes {_gigabytes(self.rest)})"


def check_memory(plan: TrainingPlan, limit_bytes: int) -> None:
    """Refuses a plan that would not fit.

    Raises:
        InvalidRequest: with the figures, and with what to ask less of.
    """
    needed = estimate(plan)
    if needed.total > limit_bytes:
        raise InvalidRequest.at(*_point(plan, needed, limit_bytes))


def estimate(plan: TrainingPlan) -> MemoryEstimate:
    """The most memory that a plan's fits take, one after the other; the networks are kept for the choice among them."""
    if plan.with_one_season:
        plans = plan, replace(plan, recipes=plan.with_one_season)
        return max((estimate(replace(either, with_one_season=())) for either in plans), key=lambda needed: needed.total)
    recipes = [member for recipe in plan.recipes for member in (recipe.members or (recipe,))]
    tried = [_largest(recipe, plan) for recipe in recipes]
    own = plan.recipes[0].own_data
    # Of networks that wait for their turn or for the choice: Keras' own copy and the one of the best epoch.
    kept = 2 * FLOAT * sum(count_weights(recipe) for recipe in tried)
    return MemoryEstimate(
        data=max(_waves_bytes(recipe) for recipe in tried) if own is None else _panel_bytes(own, tried),
        weights=kept + max(_weight_bytes(recipe) for recipe in tried),
        activations=max(_activation_bytes(recipe) for recipe in tried),
        program=sum(_program_bytes(recipe) for recipe in _shapes(tried)),
    )


def _largest(recipe: Recipe, plan: TrainingPlan) -> Recipe:
    """The largest network and batch that a search may try; without one the recipe itself."""
    if plan.search is None:
        return recipe
    options = {
        dimension.option: max(dimension.choices) if dimension.kind == "choice" else int(dimension.high)
        for dimension in plan.search.space
        if dimension.option in ("units", "layers", "batch_size")
    }
    return change(recipe, options)


def _waves_bytes(recipe: Recipe) -> float:
    waves = recipe.waves
    points = waves.n_series * waves.n_steps
    # Sines are computed in doubles, a few at a time.
    made = points * (3 * DOUBLE + FLOAT)
    cut = waves.n_series * (recipe.window + recipe.horizon)
    answers = waves.n_series * count_answers(recipe)
    # The windows as they were and scaled, and the forecasts of them all, which are scored in doubles.
    kept = FLOAT * points + 4 * FLOAT * cut + FLOAT * answers + 4 * DOUBLE * waves.n_series * recipe.horizon
    return max(made, kept) + _batch_bytes(recipe)


def _panel_bytes(data: PanelData, recipes: Sequence[Recipe]) -> float:
    # Scored are as many windows as there are series, by each of the networks that are to choose among.
    n_windows = max(100, data.n_series)
    scored = 3 * DOUBLE * min(n_windows, SCORED_AT_ONCE) * max(recipe.window for recipe in recipes)
    scored += n_windows * DOUBLE * (len(recipes) + 6) * max(recipe.evaluated_horizon for recipe in recipes)
    scored += SERIES_BYTES * data.n_series
    cells = data.n_points * max(recipe.window + recipe.evaluated_horizon for recipe in recipes)
    scored += BASELINE_COPIES * DOUBLE * min(cells, MOST_BASELINE_CELLS)
    watched = MOST_WATCHED * FLOAT * 3 * max(min(recipe.window + count_answers(recipe), 20_000) for recipe in recipes)
    solved = max((3 * DOUBLE * recipe.window**2 for recipe in recipes if recipe.preset.is_solved), default=0)
    return POINT_BYTES * data.n_points + scored + watched + solved + max(_batch_bytes(recipe) for recipe in recipes)


def _batch_bytes(recipe: Recipe) -> float:
    return BATCHES_AT_ONCE * BATCH_COPIES * FLOAT * recipe.batch_size * (recipe.window + 2 * count_answers(recipe))


def _weight_bytes(recipe: Recipe) -> float:
    slots = SLOTS[recipe.optimizer] if recipe.preset.is_fitted and not recipe.preset.is_solved else 0
    best = 0 if recipe.patience is None else 1
    copies = WEIGHT_COPIES + STATE_COPIES * (1 + slots) + best + EXPORT_COPIES
    return FLOAT * copies * count_weights(recipe)


def _activation_bytes(recipe: Recipe) -> float:
    """What a step of training holds, or a call of validation, where that is more."""
    training, forecasting = count_row_numbers(recipe)
    return FLOAT * max(training * recipe.batch_size, forecasting * ROWS_AT_ONCE)


def _program_bytes(recipe: Recipe) -> float:
    if not recipe.preset.is_fitted or recipe.preset.is_solved:
        return 0
    return PROGRAM_BYTES + LAYER_BYTES * count_layers_in_one(recipe.preset.body) * recipe.layers


def _shapes(recipes: Sequence[Recipe]) -> list[Recipe]:
    """One recipe of each program: members that differ in their seeds share it."""
    by_shape: dict[tuple[object, ...], Recipe] = {}
    for recipe in recipes:
        by_shape.setdefault(
            (recipe.architecture, recipe.window, recipe.focus, recipe.units, recipe.layers, recipe.batch_size), recipe
        )
    return list(by_shape.values())


def _point(plan: TrainingPlan, needed: MemoryEstimate, limit_bytes: int) -> tuple[str, str, str]:
    """Where in the request the most is to be saved, the flaw's code, and what to say."""
    own = plan.recipes[0].own_data
    advice = {
        "data": ("/data/n_series" if own is None else "/data", "fewer or shorter series, or a smaller window"),
        "weights": ("/units", "fewer units or layers, or members of the ensemble"),
        "activations": ("/batch_size", "a smaller batch_size or window, or fewer units or layers"),
        "program": ("/layers", "fewer layers"),
    }
    largest = max(advice, key=lambda name: float(getattr(needed, name)))
    pointer, less = advice[largest]
    return (
        pointer,
        "too_much_data" if largest == "data" else "too_much_memory",
        f"The training would take about {needed.describe()}: expected at most {_gigabytes(limit_bytes)}. Ask for {less}"
        ", or raise OUTFIELDER_JOB_MEMORY_BYTES on the server.",
    )


def _gigabytes(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
