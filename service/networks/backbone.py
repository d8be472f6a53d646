"""What a backbone is: what turns a series into features, at every step, and can go on from where it stopped."""

from abc import ABC, abstractmethod
from typing import Any

import keras

from service.networks.operations import State, Tensor


class Backbone(keras.layers.Layer, ABC):
    """Turns series into features, of which there are `width`. Keras holds its weights; `xp` computes it.

    A series is [batch, time], right-padded where rows have `lengths` [batch] of their own; without lengths all rows are
    of one length. No step depends on what comes after it, so padding changes none that counts.
    """

    width: int

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.built = True

    @abstractmethod
    def steps(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Features of all output steps [batch, steps, features], for training and sequence heads; and each row's count
        of steps."""

    @abstractmethod
    def begin(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        """Features at each row's last point [batch, features], and the state after it."""

    def last(self, xp: Any, x: Tensor, lengths: Tensor | None) -> Tensor:
        """The features of `begin` alone."""
        return self.begin(xp, x, lengths)[0]

    def resume(self, xp: Any, block: Tensor, state: State) -> tuple[Tensor, State]:
        """As `begin`, after further points [batch, k]: both together give what `begin` on the whole would.

        Raises:
            NotImplementedError: no block can follow, as `can_resume` says.
        """
        raise NotImplementedError(f"{type(self).__name__} has no state to go on from: it reads the whole series again")

    def can_resume(self, block: int) -> bool:
        """Whether blocks of this length can follow."""
        del block
        return True
