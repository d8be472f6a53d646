"""How large a recipe's network is: its weights, and the numbers that it holds for each row while it learns.

Counted from the recipe, before any network is made. The factors were measured (`make bench-memory`).
"""

from typing import Literal, assert_never

from service.domain.recipes.presets import Body
from service.domain.recipes.recipe import Recipe

Cell = Literal["simple_rnn", "lstm", "gru"]

# Numbers for each unit, step and row: what a layer keeps for the way back, and what the layer at work holds besides.
_KEPT: dict[Cell | Literal["layer_norm"], int] = {"simple_rnn": 4, "layer_norm": 7, "lstm": 13, "gru": 9}
_AT_WORK: dict[Cell | Literal["layer_norm"], int] = {"simple_rnn": 6, "layer_norm": 10, "lstm": 15, "gru": 12}
_CONVOLUTIONS = 4
# Repetitions times the points that they are tried from, and copies of a window while its seasons are taken off.
_REPETITIONS_TRIED, _DECOMPOSED = 80, 20
_COMBINER_WEIGHTS = 40_000
# A window is forecast from five points by sixteen experts, with twelve settings of smoothing over so many points.
_ORIGINS, _EXPERTS, _SETTINGS, _SMOOTHED = 5, 16, 12, 128
# Gates, and the biases of each.
_GATES_AND_BIASES: dict[Cell, tuple[int, int]] = {"simple_rnn": (1, 1), "lstm": (4, 1), "gru": (3, 2)}


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
        case "experts":
            return _COMBINER_WEIGHTS
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


def count_row_numbers(recipe: Recipe) -> tuple[int, int]:
    """Numbers that a network holds for one row: to go forwards and back, and forwards alone."""
    steps, units, layers = _steps(recipe), recipe.units, recipe.layers
    body, readout = recipe.preset.body, recipe.readout
    answers = 3 * count_answers(recipe)
    if recipe.seasons and recipe.preset.corrects:
        # What a base of two seasons tries, from each of its origins; or what it decomposes.
        answers += 3 * _REPETITIONS_TRIED * min(recipe.horizon, max(recipe.seasons)) + _DECOMPOSED * recipe.window
    if readout == "experts":
        smoothed = _SETTINGS * min(recipe.window, _SMOOTHED)
        numbers = _ORIGINS * (smoothed + _SETTINGS * recipe.window + 3 * _EXPERTS * recipe.horizon)
        return numbers, numbers
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


def count_answers(recipe: Recipe) -> int:
    """Numbers that a network learns to answer for each row."""
    return _steps(recipe) * recipe.horizon if recipe.head == "sequence" else recipe.horizon


def count_layers_in_one(body: Body) -> int:
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


def _norm_weights(recipe: Recipe) -> int:
    # A transformer normalises once more behind its last block.
    count = recipe.layers * count_layers_in_one(recipe.preset.body) + (recipe.preset.body == "patch_transformer")
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


def _steps(recipe: Recipe) -> int:
    """Steps that the layers go through for each row."""
    return max(1, recipe.window // recipe.preset.stride)
