"""A network: a backbone, and the head that turns its features into forecasts."""

from typing import Any, cast

import keras

from service.domain.recipes.recipe import Recipe
from service.networks.backbones import LagBackbone, make_backbone
from service.networks.heads import AffineHead, DecoderHead, make_head
from service.networks.layers import last_of
from service.networks.operations import State, Tensor


class Network(keras.layers.Layer):
    """A recipe's network, in the model's units. Keras holds its weights; `xp` computes it. Series are [batch, time]."""

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.answers_at_every_step = recipe.head == "sequence"
        self.horizon = recipe.horizon
        # A panel's windows may be shorter than the longest: NaN pads them on the right.
        self.is_padded = recipe.own_data is not None
        self.backbone = make_backbone(recipe)
        self.head = make_head(recipe)
        # From the fit on: a ridge regression's penalty.
        self.penalty: float | None = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.backbone.build(input_shape)
        self.head.build((None, self.backbone.width))
        self.built = True

    def forward(self, xp: Any, x: Tensor) -> Tensor:
        """The answers that training compares with targets.

        Args:
            x: [batch, time], NaN on the right of shorter rows where `is_padded`.

        Returns:
            [batch, horizon], of a sequence head [batch, steps, horizon].
        """
        lengths = None
        if self.is_padded:
            x, lengths = _count_points(xp, x)
        if self.answers_at_every_step:
            return self.all_steps(xp, x, lengths)[0]
        if isinstance(self.backbone, LagBackbone) or isinstance(self.head, DecoderHead):
            # Nothing of the steps before is needed, or what the decoder begins from is no feature.
            return self.forecast(xp, x, lengths)
        # What normalises over a batch takes its moments from all steps.
        features, lengths = self.backbone.steps(xp, x, lengths)
        return self.head.forward(xp, last_of(xp, features, lengths))

    def begin(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        """The forecast after each row's last point [batch, horizon], and the state to resume from.

        Args:
            x: right-padded with zeros.
            lengths: [batch]; None where all rows are of one length.
        """
        features, state = self.backbone.begin(xp, x, lengths)
        return self._answer(xp, features, last_of(xp, xp.expand_dims(x, 2), lengths), state), state

    def forecast(self, xp: Any, x: Tensor, lengths: Tensor | None) -> Tensor:
        """The forecast of `begin` alone."""
        if isinstance(self.head, DecoderHead):
            return self.begin(xp, x, lengths)[0]
        return self.head.forward(xp, self.backbone.last(xp, x, lengths))

    def resume(self, xp: Any, block: Tensor, state: State) -> tuple[Tensor, State]:
        """The forecast after further points [batch, k], and the state after them."""
        features, state = self.backbone.resume(xp, block, state)
        return self._answer(xp, features, block[:, -1:], state), state

    def all_steps(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """A sequence head's answer at every step [batch, steps, horizon], and each row's count of steps [batch]."""
        features, n_steps = self.backbone.steps(xp, x, lengths)
        return self._answer(xp, features, None, []), n_steps

    def regressors(self, xp: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of an affine head what its weights apply to [batch, window], and what their product is added to."""
        features = self.backbone.last(xp, *_count_points(xp, x))
        (values, *_), base = cast(AffineHead, self.head).read(xp, features)
        return values, base

    def _answer(self, xp: Any, features: Tensor, last_value: Tensor | None, state: State) -> Tensor:
        if isinstance(self.head, DecoderHead):
            return self.head.decode(xp, last_value, state)
        return self.head.forward(xp, features)


def _count_points(xp: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [batch, time] with zeros for the NaN on their right, and their lengths [batch]."""
    own = xp.isfinite(x)
    return xp.where(own, x, 0.0), xp.sum(xp.cast(own, "int32"), axis=1)


def make_network(recipe: Recipe) -> Network:
    """Builds a recipe's network with fresh weights from Keras' global seed."""
    network = Network(recipe)
    network.build((None, recipe.window, 1))
    return network
