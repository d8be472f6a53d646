"""A network's forecasts in the units of the series: scaled, differenced and rolled out, as `xp` computes them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from service.domain.differencing import difference, feed_back, integrate, phase
from service.domain.recipes.recipe import Recipe, weight_shares
from service.domain.scaling import Scale, measure_scale
from service.networks.network import Network
from service.networks.operations import State, Tensor


class _Window(NamedTuple):
    """What a network reads of series, in its own units: values [batch, time] with zeros for padding, lengths, scale."""

    x: Tensor
    lengths: Tensor
    scale: Scale


class Forecaster:
    """One network with its recipe's scaling and differences. Statistics are frozen through a roll-out.

    Series are float32 [batch, time], right-padded with anything; lengths are integers [batch].
    """

    def __init__(self, network: Network, recipe: Recipe, *, cuts: bool) -> None:
        """Args: `cuts` is whether series may be longer than the window of a recipe that reads no more."""
        self.network = network
        self.recipe = recipe
        self._cuts = cuts and not recipe.reads_whole_series

    def forecast(self, xp: Any, series: Tensor, lengths: Tensor) -> Tensor:
        """The forecast after each row's last point: [batch, horizon]."""
        window = self._read(xp, series, lengths)
        answer = self.network.forecast(xp, *self._differences(xp, window))
        return window.scale.inverse(xp, self._add_base(xp, answer, window))

    def rollout(self, xp: Any, series: Tensor, lengths: Tensor, horizon: Tensor) -> Tensor:
        """As `forecast`, with whole blocks fed back until `horizon` steps are there: [batch, horizon]."""
        window = self._read(xp, series, lengths)
        block = self.network.horizon
        roll = self._resume if self.network.backbone.can_resume(block) else self._encode_again
        fed = roll(xp, *self._differences(xp, window), (horizon + (block - 1)) // block)
        before = self._season_before(xp, window, self.recipe.lag) if self.recipe.lag else None
        return window.scale.inverse(xp, integrate(xp, fed, before, self.recipe.lag)[:, :horizon])

    def all_steps(self, xp: Any, series: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """A sequence head's forecast at every output step [batch, steps, horizon], and each row's count of steps.

        Zeros follow a row's own steps. Every step is scaled with the statistics of the whole input, so these forecasts
        are not causal.
        """
        window = self._read(xp, series, lengths)
        answer, counts = self.network.all_steps(xp, *self._differences(xp, window))
        batch, n_steps = xp.size(answer, 0), xp.size(answer, 1)
        if self.recipe.lag:
            answer = answer + self._base_at_steps(xp, window, counts, n_steps)
        horizon = self.network.horizon
        flat = window.scale.inverse(xp, xp.reshape(answer, (batch, n_steps * horizon)))
        forecast = xp.reshape(flat, (batch, n_steps, horizon))
        return xp.where(xp.expand_dims(_own(xp, counts, n_steps), 2), forecast, 0.0), counts

    def _read(self, xp: Any, series: Tensor, lengths: Tensor) -> _Window:
        recipe = self.recipe
        if self._cuts:
            series, lengths = _last_points(xp, series, lengths, recipe.window)
        own = _own(xp, lengths, xp.size(series, 1))
        # Padding may hold anything, NaN included: it is cleared before any arithmetic.
        x = xp.where(own, series, 0.0)
        scale = measure_scale(xp, x, own, recipe.scaling, log=recipe.log)
        if not scale.is_identity:
            x = xp.where(own, scale.transform(xp, x), 0.0)
        return _Window(x, lengths, scale)

    def _differences(self, xp: Any, window: _Window) -> tuple[Tensor, Tensor]:
        """What the network reads, and its lengths: with a lag the differences, `lag` points fewer."""
        lag = self.recipe.lag
        if lag == 0:
            return window.x, window.lengths
        lengths = window.lengths - lag
        return xp.where(_own(xp, lengths, xp.size(window.x, 1) - lag), difference(window.x, lag), 0.0), lengths

    def _season_before(self, xp: Any, window: _Window, horizon: int) -> Tensor:
        """What the network's answers are differences from: [batch, horizon]."""
        return xp.pick(window.x, xp.expand_dims(window.lengths, 1) - phase(horizon, self.recipe.lag)[None])

    def _add_base(self, xp: Any, answer: Tensor, window: _Window) -> Tensor:
        return answer + self._season_before(xp, window, self.network.horizon) if self.recipe.lag else answer

    def _base_at_steps(self, xp: Any, window: _Window, counts: Tensor, n_steps: Tensor) -> Tensor:
        """What the answers at each step are differences from: [batch, steps, horizon]."""
        # Points known at each step; the last step knows them all.
        before = xp.expand_dims(counts - 1, 1) - xp.expand_dims(xp.arange(n_steps), 0)
        known = xp.expand_dims(window.lengths, 1) - before * self.recipe.preset.stride  # [batch, steps]
        positions = xp.expand_dims(known, 2) - phase(self.network.horizon, self.recipe.lag)[None, None]
        within = xp.minimum(xp.maximum(positions, 0), xp.size(window.x, 1) - 1)
        flat = xp.pick(window.x, xp.reshape(within, (xp.size(within, 0), n_steps * self.network.horizon)))
        return xp.reshape(flat, (xp.size(within, 0), n_steps, self.network.horizon))

    def _feed(self, xp: Any, answer: Tensor) -> Tensor:
        """A block of answers as the network reads it when it is fed back: [batch, block]."""
        return feed_back(xp, answer, self.network.horizon, self.recipe.lag)

    def _resume(self, xp: Any, x: Tensor, lengths: Tensor, n_blocks: Tensor) -> Tensor:
        """Goes on from the state after the series: n + h steps of work. What is fed back [batch, time], or more."""
        answer, state = self.network.begin(xp, x, lengths)
        first = self._feed(xp, answer)
        block = self.network.horizon
        at_once = xp.steps_per_trip if block == 1 else 1

        def step(trip: Any, carried: State) -> tuple[State, Tensor]:
            del trip
            fed, *after = carried
            blocks = []
            for _ in range(at_once):
                answer, after = self.network.resume(xp, fed, after)
                fed = self._feed(xp, answer)
                blocks.append(fed)
            return [fed, *after], xp.concatenate(blocks, axis=1) if at_once > 1 else fed

        # The first block is there already: n - 1 of them, rounded up.
        rest = xp.loop(step, [first, *state], (n_blocks + (at_once - 2)) // at_once, width=block * at_once)
        return xp.concatenate([first, xp.reshape(rest, (xp.size(x, 0), -1))], axis=1)

    def _encode_again(self, xp: Any, x: Tensor, lengths: Tensor, n_blocks: Tensor) -> Tensor:
        """Feeds the longer series whole for each block, where no state fits the block's length."""
        block = self.network.horizon
        longer = xp.pad(x, 0, n_blocks * block)
        positions = xp.expand_dims(xp.arange(xp.size(longer, 1)), 0)  # [1, time]

        def step(trip: Any, carried: State) -> tuple[State, Tensor]:
            (series,) = carried
            ends = lengths + trip * block
            fed = self._feed(xp, self.network.forecast(xp, series, ends))
            offsets = positions - xp.expand_dims(ends, 1)  # [batch, time]
            inside = xp.minimum(xp.maximum(offsets, 0), block - 1)
            return [xp.where(xp.equal(offsets, inside), xp.pick(fed, inside), series)], fed

        return xp.reshape(xp.loop(step, [longer], n_blocks, width=block), (xp.size(x, 0), -1))


class EnsembleForecaster:
    """The weighted mean of several forecasters, each scaled, differenced and rolled out by itself."""

    def __init__(self, members: Sequence[Forecaster]) -> None:
        self.members = list(members)

    def forecast(self, xp: Any, series: Tensor, lengths: Tensor) -> Tensor:
        return self._mean([member.forecast(xp, series, lengths) for member in self.members])

    def rollout(self, xp: Any, series: Tensor, lengths: Tensor, horizon: Tensor) -> Tensor:
        return self._mean([member.rollout(xp, series, lengths, horizon) for member in self.members])

    def _mean(self, forecasts: Sequence[Tensor]) -> Tensor:
        if len(forecasts) == 1:
            return forecasts[0]
        shares = weight_shares([member.recipe for member in self.members])
        total, *rest = (forecast * share for share, forecast in zip(shares, forecasts, strict=True))
        for forecast in rest:
            total = total + forecast
        return total


def _own(xp: Any, lengths: Tensor, time: Tensor) -> Tensor:
    """Which positions are each row's own: [batch, time]."""
    return xp.expand_dims(xp.arange(time), 0) < xp.expand_dims(lengths, 1)


def _last_points(xp: Any, series: Tensor, lengths: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Each row's last `window` points, or all where it has fewer, moved to the left."""
    time = xp.size(series, 1)
    first = xp.maximum(lengths - window, 0)
    positions = xp.expand_dims(first, 1) + xp.expand_dims(xp.arange(xp.minimum(time, window)), 0)
    return xp.pick(series, xp.minimum(positions, time - 1)), xp.minimum(lengths, window)
