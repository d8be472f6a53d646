"""How much memory a training takes, estimated from its plan before anything is computed.

Counted is what grows with a request: its data, the weights with the optimiser's state, what a step of training keeps
to go backwards, and the compiled program. The factors were measured (`make bench-memory`, docs/benchmarks.md); they
are to be right within a factor of two, and rather too high.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from service.domain.recipes.presets import Body
from service.domain.recipes.recipe import PanelData, Recipe
from service.domain.recipes.search_space import change
from service.domain.recipes.training_plan import TrainingPlan
from service.errors import InvalidRequest

Cell = Literal["simple_rnn", "lstm", "gru"]

FLOAT = 4
DOUBLE = 8
# The process that fits and the one that exports, before they hold anything of a job.
PROCESSES_BYTES = 3 * 2**29
# Of a compiled program, and of each of its layers.
PROGRAM_BYTES = 100 * 2**20
LAYER_BYTES = 12 * 2**20
# Batches that one call of a program takes (`service.training.compiled.fitting`), and copies of them on their way.
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
# Of the points of one's own series: as they are read, filled, joined, scaled, and counted.
POINT_BYTES = 12 * DOUBLE
# Numbers for each unit, step and row: what a layer keeps for the way back, and what the layer at work holds besides.
_KEPT: dict[Cell | Literal["layer_norm"], int] = {"simple_rnn": 4, "layer_norm": 7, "lstm": 13, "gru": 9}
_AT_WORK: dict[Cell | Literal["layer_norm"], int] = {"simple_rnn": 6, "layer_norm": 10, "lstm": 15, "gru": 12}
_CONVOLUTIONS = 4
# Repetitions times the points that they are tried from, and copies of a window while its seasons are taken off.
_REPETITIONS_TRIED, _DECOMPOSED = 80, 20
# Gates, and the biases of each.
_GATES_AND_BIASES: dict[Cell, tuple[int, int]] = {"simple_rnn": (1, 1), "lstm": (4, 1), "gru": (3, 2)}


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


def count_weights(recipe: Recipe) -> int:
    """The weights of a recipe's network, those of an ensemble's members together; never too few."""
    if recipe.members:
        return sum(count_weights(member) for member in recipe.members)
    units, layers, window, horizon = recipe.units, recipe.layers, recipe.window, recipe.horizon
    match recipe.readout:
        case "repeat" | "base":
            return 0
        case "affine":
            return ((recipe.focus or window) + 1) * horizon
        case "residual":
            read = 2 * (recipe.focus or window) + horizon
            blocks = layers * (4 * units * units + 3 * units) + (layers + 1) * 2 * units
            return read * units + units + blocks + (units + 1) * horizon
        case "unrolled":
            return _recurrent_weights("gru", window, units, layers) + _norm_weights(recipe) + units + 1
        case "decoder":
            return 2 * _body_weights(recipe) + _norm_weights(recipe) + (units + 1) * horizon
        case "recurrent":
            last = _recurrent_weights(_cell(recipe.preset.body), units, 1, 1)
            return _body_weights(recipe) + last + _norm_weights(recipe) + (units + 1) * horizon
        case "dense":
            if recipe.preset.body == "linear":
                return (window + 1) * horizon
            return _body_weights(recipe) + _norm_weights(recipe) + (units + 1) * horizon
        case _:
            assert_never(recipe.readout)


def _norm_weights(recipe: Recipe) -> int:
    # A transformer normalises once more behind its last block.
    count = recipe.layers * _layers_in_one(recipe.preset.body) + (recipe.preset.body == "patch_transformer")
    return count * {"none": 0, "layer": 2, "batch": 4}[recipe.normalization] * recipe.units


def _body_weights(recipe: Recipe) -> int:
    """The weights below the readout, normalisation aside."""
    units, layers = recipe.units, recipe.layers
    match recipe.preset.body:
        case "simple_rnn" | "lstm" | "gru" as cell:
            return _recurrent_weights(cell, 1, units, layers)
        case "conv_gru":
            return (recipe.preset.kernel + 1) * units + _recurrent_weights("gru", units, units, layers)
        case "wavenet":
            first, others = 2 * units + units, 2 * units * units + units
            return first + (_CONVOLUTIONS * layers - 1) * others
        case "patch_transformer":
            return (recipe.preset.kernel + 1) * units + layers * (8 * units * units + 7 * units)
        case "naive" | "linear" | "window" as body:
            raise ValueError(f"a {body} body has no weights below a {recipe.readout} readout")
        case _:
            assert_never(recipe.preset.body)


def _layers_in_one(body: Body) -> int:
    """Layers of the network in one that the recipe counts."""
    match body:
        case "wavenet":
            return _CONVOLUTIONS
        case "patch_transformer":
            return 2
        case "naive" | "linear" | "window" | "simple_rnn" | "lstm" | "gru" | "conv_gru":
            return 1
        case _:
            assert_never(body)


def _cell(body: Body) -> Cell:
    """What a recurrent body repeats at each step. Raises ValueError for another body."""
    match body:
        case "simple_rnn" | "lstm" | "gru":
            return body
        case "conv_gru":
            return "gru"
        case "naive" | "linear" | "window" | "wavenet" | "patch_transformer":
            raise ValueError(f"a {body} body has no recurrent cell")
        case _:
            assert_never(body)


def _recurrent_weights(cell: Cell, inputs: int, units: int, layers: int) -> int:
    gates, biases = _GATES_AND_BIASES[cell]
    first = gates * units * (inputs + units + biases)
    return first + (layers - 1) * gates * units * (2 * units + biases)


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


def _answers(recipe: Recipe) -> int:
    """Numbers that a network learns to answer for each row."""
    return _steps(recipe) * recipe.horizon if recipe.head == "sequence" else recipe.horizon


def _steps(recipe: Recipe) -> int:
    """Steps that the layers go through for each row."""
    return max(1, recipe.window // recipe.preset.stride)


def _waves_bytes(recipe: Recipe) -> float:
    waves = recipe.waves
    points = waves.n_series * waves.n_steps
    # Sines are computed in doubles, a few at a time.
    made = points * (3 * DOUBLE + FLOAT)
    cut = waves.n_series * (recipe.window + recipe.horizon)
    answers = waves.n_series * _answers(recipe)
    # The windows as they were and scaled, and the forecasts of them all, which are scored in doubles.
    kept = FLOAT * points + 4 * FLOAT * cut + FLOAT * answers + 4 * DOUBLE * waves.n_series * recipe.horizon
    return max(made, kept) + _batch_bytes(recipe)


def _panel_bytes(data: PanelData, recipes: Sequence[Recipe]) -> float:
    # Scored are as many windows as there are series, by each of the networks that are to choose among.
    scored = max(100, data.n_series) * max(
        3 * DOUBLE * max(recipe.window for recipe in recipes),
        DOUBLE * len(recipes) * max(recipe.evaluated_horizon for recipe in recipes),
    )
    watched = MOST_WATCHED * FLOAT * 3 * max(min(recipe.window + _answers(recipe), 20_000) for recipe in recipes)
    solved = max((3 * DOUBLE * recipe.window**2 for recipe in recipes if recipe.preset.is_solved), default=0)
    return POINT_BYTES * data.n_points + scored + watched + solved + max(_batch_bytes(recipe) for recipe in recipes)


def _batch_bytes(recipe: Recipe) -> float:
    return BATCHES_AT_ONCE * BATCH_COPIES * FLOAT * recipe.batch_size * (recipe.window + 2 * _answers(recipe))


def _weight_bytes(recipe: Recipe) -> float:
    slots = SLOTS[recipe.optimizer] if recipe.preset.is_fitted and not recipe.preset.is_solved else 0
    best = 0 if recipe.patience is None else 1
    copies = WEIGHT_COPIES + STATE_COPIES * (1 + slots) + best + EXPORT_COPIES
    return FLOAT * copies * count_weights(recipe)


def _activation_bytes(recipe: Recipe) -> float:
    """What a step of training holds, or a call of validation, where that is more."""
    training, forecasting = _numbers_of_a_row(recipe)
    return FLOAT * max(training * recipe.batch_size, forecasting * ROWS_AT_ONCE)


def _numbers_of_a_row(recipe: Recipe) -> tuple[int, int]:
    """Numbers that a network holds for one row: to go forwards and back, and forwards alone."""
    steps, units, layers = _steps(recipe), recipe.units, recipe.layers
    body, readout = recipe.preset.body, recipe.readout
    answers = 3 * _answers(recipe)
    if recipe.seasons and recipe.preset.corrects:
        # What a base of two seasons tries, from each of its origins; or what it decomposes.
        answers += 3 * _REPETITIONS_TRIED * min(recipe.horizon, max(recipe.seasons)) + _DECOMPOSED * recipe.window
    if readout in ("repeat", "base") or not units:
        # A linear layer at every step reads the window before each.
        read = recipe.window * (recipe.window if recipe.head == "sequence" else 1)
        return answers + 3 * read, answers + 2 * read
    if body in ("window", "linear") and readout != "unrolled":
        read = 2 * recipe.window * (recipe.window if recipe.head == "sequence" else 1)
        at_once = recipe.window if recipe.head == "sequence" else 1
        return answers + 3 * read + at_once * units * (10 * layers + 4), answers + 2 * read + at_once * 8 * units
    if body == "wavenet":
        features = steps * units
        return answers + features * (4 * _CONVOLUTIONS * layers + 6), answers + 8 * features
    if body == "patch_transformer":
        # Of each of four heads, how each patch looks at each.
        features, looks = steps * units, 4 * steps * steps
        return answers + features * (24 * layers + 6) + 3 * layers * looks, answers + 8 * features + 3 * looks
    cell = "gru" if readout == "unrolled" else _cell(body)
    kind = "layer_norm" if cell == "simple_rnn" and recipe.normalization == "layer" else cell
    features = units * (steps if readout != "unrolled" else recipe.horizon)
    if readout == "decoder":
        features += units * recipe.horizon
    norms = 2 * layers if recipe.normalization != "none" else 0
    kept = _KEPT[kind] * layers + norms
    return answers + features * (kept + _AT_WORK[kind]), answers + features * (_AT_WORK[kind] + 2)


def _program_bytes(recipe: Recipe) -> float:
    if not recipe.preset.is_fitted or recipe.preset.is_solved:
        return 0
    return PROGRAM_BYTES + LAYER_BYTES * _layers_in_one(recipe.preset.body) * recipe.layers


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
