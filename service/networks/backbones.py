"""The backbones of windows, which need no weights; and the choice of one for a recipe."""

from typing import Any, assert_never

from service.domain.recipes.recipe import Recipe
from service.networks.backbone import Backbone
from service.networks.layers import last_of
from service.networks.operations import State, Tensor
from service.networks.recurrent import ConvRecurrentBackbone, RecurrentBackbone
from service.networks.transformer import PatchTransformerBackbone
from service.networks.wavenet import WaveNetBackbone


class ValueBackbone(Backbone):
    """The value itself (naive)."""

    width = 1

    def steps(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return xp.expand_dims(x, 2), lengths

    def begin(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        last = last_of(xp, xp.expand_dims(x, 2), lengths)  # [batch, 1]
        return last, [last]

    def resume(self, xp: Any, block: Tensor, state: State) -> tuple[Tensor, State]:
        last = block[:, -1:]
        return last, [last]


class LagBackbone(Backbone):
    """The last `window` values, zeros before the start (linear, vector-to-sequence). Its state slides."""

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = self.width = recipe.window
        # Of differences there are fewer than a window.
        self.may_be_short = not recipe.preset.is_fixed_length or recipe.lag > 0

    def steps(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self._lags(xp, x), lengths

    def begin(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        values, own = self._last_window(xp, x, lengths)
        last = values if own is None else values * own
        return last, [last]

    def resume(self, xp: Any, block: Tensor, state: State) -> tuple[Tensor, State]:
        last = self._slide(xp, state[0], block)
        return last, [last]

    def _lags(self, xp: Any, x: Tensor) -> Tensor:
        """[batch, time] -> [batch, time, window]."""
        lags = xp.expand_dims(xp.arange(xp.size(x, 1)), 1) + xp.expand_dims(xp.arange(self.window), 0)
        return xp.take(xp.pad(x, self.window - 1, 0), lags, axis=1)

    def _last_window(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Each row's last values [batch, window], and where there is one; None where there is one everywhere."""
        ends = xp.full((xp.size(x, 0),), xp.size(x, 1)) if lengths is None else lengths
        positions = xp.expand_dims(ends - self.window, 1) + xp.expand_dims(xp.arange(self.window), 0)
        if not self.may_be_short:
            return xp.pick(x, positions), None
        return xp.pick(x, xp.maximum(positions, 0)), xp.cast(positions >= 0, "float32")

    def _slide(self, xp: Any, older: Tensor, newer: Tensor) -> Tensor:
        return xp.concatenate([older, newer], axis=1)[:, -self.window :]


class WindowBackbone(LagBackbone):
    """The last `window` values, zeros before the start, and for each whether it is a value (mlp). Its state slides."""

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(recipe, **kwargs)
        self.width = 2 * self.window

    def steps(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return xp.concatenate([self._lags(xp, x), self._lags(xp, xp.ones_like(x))], axis=2), lengths

    def begin(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        values, own = self._last_window(xp, x, lengths)
        return self._features(xp, [values * own, own])

    def resume(self, xp: Any, block: Tensor, state: State) -> tuple[Tensor, State]:
        values, own = state
        return self._features(xp, [self._slide(xp, values, block), self._slide(xp, own, xp.ones_like(block))])

    def _features(self, xp: Any, state: State) -> tuple[Tensor, State]:
        return xp.concatenate(state, axis=1), state


def make_backbone(recipe: Recipe) -> Backbone:
    """The backbone that a recipe asks for, not yet built."""
    match recipe.preset.body:
        case "naive":
            return ValueBackbone()
        case "linear":
            return LagBackbone(recipe)
        case "window":
            return WindowBackbone(recipe)
        case "patch_transformer":
            return PatchTransformerBackbone(recipe)
        case "wavenet":
            return WaveNetBackbone(recipe)
        case "conv_gru":
            return ConvRecurrentBackbone(recipe)
        case "simple_rnn" | "lstm" | "gru":
            return RecurrentBackbone(recipe)
        case body:
            assert_never(body)
