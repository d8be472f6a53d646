"""Recurrent backbones: stacks of recurrent layers, plain or behind a strided convolution."""

from typing import Any

from service.domain.recipes.recipe import Recipe
from service.networks.backbone import Backbone
from service.networks.cells import Cell
from service.networks.layers import make_normalization, normalize
from service.networks.operations import State, Tensor
from service.networks.strided_conv import StridedConv

KINDS = {"simple_rnn": "simple", "lstm": "lstm", "gru": "gru", "conv_gru": "gru"}


class RecurrentBackbone(Backbone):
    """A stack of recurrent layers. The state is that of each layer, in order.

    A recurrent readout is a last layer of one unit, whose output is the forecast.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        widths = (recipe.units,) * recipe.layers
        if recipe.readout == "recurrent" and widths[-1] != 1:
            widths += (1,)
        self.width = widths[-1]
        kind = "layer_norm" if normalises_inside(recipe) else KINDS[recipe.preset.body]
        self.cells = [Cell(kind, units, recipe) for units in widths]
        # A simple cell normalises within itself; elsewhere normalisation follows the layer.
        between = "none" if normalises_inside(recipe) else recipe.normalization
        self.norms = [make_normalization(between) for _ in widths]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = input_shape[-1]
        for cell, norm in zip(self.cells, self.norms, strict=True):
            cell.build((None, width))
            norm.build((None, None, cell.units))
            width = cell.units
        self.built = True

    def steps(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self.run(xp, xp.expand_dims(x, 2), None, None)[0], lengths

    def begin(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        _, last, state = self.run(xp, xp.expand_dims(x, 2), None, lengths)
        return last, state

    def resume(self, xp: Any, block: Tensor, state: State) -> tuple[Tensor, State]:
        _, last, state = self.run(xp, xp.expand_dims(block, 2), state, None)
        return last, state

    def run(self, xp: Any, x: Tensor, state: State | None, lengths: Tensor | None) -> tuple[Tensor, Tensor, State]:
        """[batch, time, features] -> outputs [batch, time, units], those of each row's last step, and its state."""
        after: State = []
        per_layer = 0 if state is None else len(state) // len(self.cells)
        for i, (cell, norm) in enumerate(zip(self.cells, self.norms, strict=True)):
            before = None if state is None else state[i * per_layer : (i + 1) * per_layer]
            x, layer_state = cell.run(xp, x, before, lengths)
            x, last = normalize(xp, norm, x), layer_state[0]
            after += layer_state
        # A cell's first state is its output.
        return x, normalize(xp, self.norms[-1], last), after


class ConvRecurrentBackbone(Backbone):
    """A strided convolution that halves the sequence, then recurrent layers.

    The state is the points that the next window begins with, then the recurrent layers' state.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv = StridedConv(recipe)
        self.recurrent = RecurrentBackbone(recipe)
        self.width = self.recurrent.width
        self.overlap = self.conv.kernel - self.conv.stride
        # How many points are fed back at a time, where a graph does not know.
        self.block = recipe.horizon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.conv.build(input_shape)
        self.recurrent.build((None, None, self.conv.filters))
        self.built = True

    def can_resume(self, block: int) -> bool:
        """Another block would shift all windows."""
        return block % self.conv.stride == 0

    def steps(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        shorter, n_steps = self.conv.downsample(xp, x, lengths)
        return self.recurrent.run(xp, shorter, None, None)[0], n_steps

    def begin(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        shorter, n_steps = self.conv.downsample(xp, x, lengths)
        _, last, state = self.recurrent.run(xp, shorter, None, n_steps)
        if lengths is None:
            return last, [x[:, -self.overlap :], *state]
        positions = xp.expand_dims(lengths - self.overlap, 1) + xp.expand_dims(xp.arange(self.overlap), 0)
        return last, [xp.pick(x, positions), *state]

    def resume(self, xp: Any, block: Tensor, state: State) -> tuple[Tensor, State]:
        x = xp.concatenate([state[0], block], axis=1)
        n_points = xp.size(block, 1)
        shorter = self.conv.convolve(xp, x, self.overlap + (n_points if isinstance(n_points, int) else self.block))
        _, last, after = self.recurrent.run(xp, shorter, state[1:], None)
        return last, [x[:, -self.overlap :], *after]


def normalises_inside(recipe: Recipe) -> bool:
    """Whether a recipe's recurrent cells normalise their output before its activation."""
    return recipe.preset.body == "simple_rnn" and recipe.normalization == "layer"
