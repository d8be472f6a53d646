"""A version's forecasts as ONNX graphs, one for each signature: what `service.training.graph` is in TensorFlow."""

from collections.abc import Sequence

import numpy as np

from service.domain.differencing import phase
from service.domain.recipes.recipe import CONV_STRIDE, Recipe, weight_shares
from service.engines.onnx import many_rows
from service.training.graph import AnyGraph, EnsembleGraph, ForecastGraph
from service.training.translation.bodies import translate_body
from service.training.translation.builder import FLOAT, INT32, INT64, Builder, Value, ints, scalar
from service.training.translation.readouts import translate_readout
from service.training.translation.recurrent import State
from service.training.translation.scaling import Scale, measure

SERIES = (FLOAT, ["batch", "time"])
LENGTHS = (INT32, ["batch"])
# Single steps that one trip of a roll-out's loop makes: a trip by itself costs as much as several operators. Behind the
# first step one trip makes the ten of an autoregression without a horizon.
STEPS_AT_ONCE = 9
HORIZON: tuple[int, list[str]] = (INT64, [])


def translate(graph: AnyGraph) -> dict[str, bytes]:
    """The ONNX graphs of a version, by the name of the engine's call; where large batches want others, those as well.

    Inputs are `series` float32 [batch, time], padded on the right with anything, `lengths` int32 [batch] and, of
    `rollout`, `horizon` int64 []. Longer series than the version's longest window must have been cut where it does not
    read them whole. Outputs are those of the SavedModel's signatures.
    """
    members = graph.members if isinstance(graph, EnsembleGraph) else [graph]
    longest = max(member.recipe.window for member in members)
    with_steps = "all_steps" in graph.signatures()
    few, many = (
        _translate([_Translation(member, longest, many=large) for member in members], with_steps)
        for large in (False, True)
    )
    return few | {many_rows(call): model for call, model in many.items() if model != few[call]}


def _translate(members: Sequence["_Translation"], with_steps: bool) -> dict[str, bytes]:
    models = {"forecast": _forecast(members), "rollout": _rollout(members)}
    if with_steps:
        models["all_steps"] = _all_steps(members[0])
    return models


def _forecast(members: Sequence["_Translation"]) -> bytes:
    b = Builder()
    answer = _mean(b, members, [member.forecast(b) for member in members])
    return b.model({"series": SERIES, "lengths": LENGTHS}, {"forecast": (answer, FLOAT)})


def _rollout(members: Sequence["_Translation"]) -> bytes:
    b = Builder()
    answer = _mean(b, members, [member.rollout(b) for member in members])
    return b.model({"series": SERIES, "lengths": LENGTHS, "horizon": HORIZON}, {"forecast": (answer, FLOAT)})


def _all_steps(member: "_Translation") -> bytes:
    b = Builder()
    answer, steps = member.all_steps(b)
    return b.model({"series": SERIES, "lengths": LENGTHS}, {"forecast": (answer, FLOAT), "steps": (steps, INT32)})


def _mean(b: Builder, members: Sequence["_Translation"], forecasts: Sequence[Value]) -> Value:
    if len(forecasts) == 1:
        return forecasts[0]
    shares = weight_shares([member.recipe for member in members])
    return b.op("Sum", *(b.op("Mul", one, scalar(share)) for one, share in zip(forecasts, shares, strict=True)))


class _Translation:
    """One network with its scaling and differencing."""

    def __init__(self, graph: ForecastGraph, longest_window: int, *, many: bool) -> None:
        self._network = graph.network
        self.recipe: Recipe = graph.recipe
        self._body = translate_body(graph.network.body, graph.network.horizon, many=many)
        self._horizon: int = graph.network.horizon
        # The engine cuts series to the longest window of all members.
        self._cuts = not graph.recipe.reads_whole_series and graph.recipe.window < longest_window

    def forecast(self, b: Builder) -> Value:
        x, lengths, scale = self._prepare(b)
        read, read_lengths = self._differences(b, x, lengths)
        if self.recipe.readout == "decoder":
            features, state = self._body.begin(b, read, read_lengths)
        else:
            features, state = self._body.last(b, read, read_lengths), []
        answer = self._answer(b, features, self._last_value(b, read, read_lengths), state)
        return scale.inverse(b, self._add_base(b, answer, x, lengths, self._horizon))

    def rollout(self, b: Builder) -> Value:
        x, lengths, scale = self._prepare(b)
        read, read_lengths = self._differences(b, x, lengths)
        horizon = b.op("Reshape", "horizon", ints(1))
        n_blocks = b.op("Div", b.op("Add", horizon, ints(self._horizon - 1)), ints(self._horizon))
        resumes = self._network.body.can_resume(self._horizon)
        roll = self._resume if resumes else self._encode_again
        fed = roll(b, read, read_lengths, n_blocks)  # [batch, time]
        values = self._integrate(b, fed, x, lengths)
        cut = b.op("Slice", values, ints(0), horizon, ints(1))
        return scale.inverse(b, cut)

    def all_steps(self, b: Builder) -> tuple[Value, Value]:
        x, lengths, scale = self._prepare(b)
        features, steps = self._body.steps(b, *self._differences(b, x, lengths))
        answer = self._answer(b, features, "", [])  # [batch, steps, horizon]
        n_steps = b.size(answer, 1)
        answer = self._add_base_at_steps(b, answer, x, lengths, steps, n_steps)
        flat = scale.inverse(b, b.op("Reshape", answer, b.op("Concat", b.size(x, 0), ints(-1), axis=0)))
        forecast = b.op("Reshape", flat, b.op("Shape", answer))
        own = b.op("Unsqueeze", self._mask(b, steps, n_steps), ints(2))
        return b.op("Where", own, forecast, scalar(0)), b.cast(steps, INT32)

    def _prepare(self, b: Builder) -> tuple[Value, Value, Scale]:
        """The points that count, in the model's units [batch, time], their lengths int64, and their scale."""
        series, lengths = "series", b.cast("lengths", INT64)
        if self._cuts:
            series, lengths = self._cut(b, series, lengths)
        own = self._mask(b, lengths, b.size(series, 1))
        # Padding may hold anything, NaN included: it is cleared before any arithmetic.
        x = b.op("Where", own, series, scalar(0))
        scale = measure(b, x, own, self.recipe)
        scaled = scale.transform(b, x)
        return (x if scaled == x else b.op("Where", own, scaled, scalar(0))), lengths, scale

    def _cut(self, b: Builder, series: Value, lengths: Value) -> tuple[Value, Value]:
        """Each row's last `window` points, or all where it has fewer, moved to the left."""
        window = scalar(self.recipe.window, np.int64)
        first = b.op("Max", b.op("Sub", lengths, window), scalar(0, np.int64))
        time = b.size(series, 1)
        offsets = b.op("Unsqueeze", b.range(b.op("Min", time, window)), ints(0))
        positions = b.op("Add", b.op("Unsqueeze", first, ints(1)), offsets)
        positions = b.op("Min", positions, b.op("Sub", time, scalar(1, np.int64)))
        return b.pick(series, positions), b.op("Min", lengths, window)

    def _mask(self, b: Builder, lengths: Value, time: Value) -> Value:
        """Which positions are each row's own: [batch, time] of a count [1]."""
        return b.op("Less", b.op("Unsqueeze", b.range(time), ints(0)), b.op("Unsqueeze", lengths, ints(1)))

    def _differences(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, Value]:
        """What the network reads, and its lengths."""
        lag = self.recipe.lag
        if lag == 0:
            return x, lengths
        shorter = b.op("Sub", lengths, scalar(lag, np.int64))
        differences = b.op("Sub", b.slice(x, lag, None, 1), b.slice(x, 0, -lag, 1))
        own = self._mask(b, shorter, b.size(differences, 1))
        return b.op("Where", own, differences, scalar(0)), shorter

    def _answer(self, b: Builder, features: Value, last_value: Value, state: State) -> Value:
        return translate_readout(b, self._network.readout, features, last_value, state)

    def _last_value(self, b: Builder, x: Value, lengths: Value) -> Value:
        """[batch, 1], for the readout that reads it."""
        if self.recipe.readout != "decoder":
            return ""
        return b.pick(x, b.op("Unsqueeze", b.op("Sub", lengths, scalar(1, np.int64)), ints(1)))

    def _base(self, b: Builder, x: Value, lengths: Value, horizon: int) -> Value:
        """What answers are differences from: [batch, horizon]."""
        ends = b.op("Unsqueeze", lengths, ints(1))
        return b.pick(x, b.op("Sub", ends, phase(horizon, self.recipe.lag).astype(np.int64)))

    def _add_base(self, b: Builder, answer: Value, x: Value, lengths: Value, horizon: int) -> Value:
        return answer if self.recipe.lag == 0 else b.op("Add", answer, self._base(b, x, lengths, horizon))

    def _add_base_at_steps(
        self, b: Builder, answer: Value, x: Value, lengths: Value, steps: Value, n_steps: Value
    ) -> Value:
        if self.recipe.lag == 0:
            return answer
        stride = CONV_STRIDE if self.recipe.preset.body == "conv_gru" else 1
        last = b.op("Unsqueeze", b.op("Sub", steps, scalar(1, np.int64)), ints(1))
        before = b.op("Sub", last, b.op("Unsqueeze", b.range(n_steps), ints(0)))  # [batch, steps]
        known = b.op("Sub", b.op("Unsqueeze", lengths, ints(1)), b.op("Mul", before, scalar(stride, np.int64)))
        offsets = phase(self._horizon, self.recipe.lag).astype(np.int64)
        positions = b.op("Sub", b.op("Unsqueeze", known, ints(2)), offsets)  # [batch, steps, horizon]
        last_position = b.op("Sub", b.size(x, 1), scalar(1, np.int64))
        positions = b.op("Max", b.op("Min", positions, last_position), scalar(0, np.int64))
        base = b.op("GatherND", x, b.op("Unsqueeze", positions, ints(-1)), batch_dims=1)
        return b.op("Add", answer, base)

    def _feed(self, b: Builder, answer: Value) -> Value:
        """A block of answers as the network reads it when it is fed back: [batch, block]."""
        lag = self.recipe.lag
        if not lag or self._horizon <= lag:
            return answer
        later = b.op("Sub", b.slice(answer, lag, None, 1), b.slice(answer, 0, -lag, 1))
        return b.op("Concat", b.slice(answer, 0, lag, 1), later, axis=1)

    def _integrate(self, b: Builder, fed: Value, x: Value, lengths: Value) -> Value:
        """Differences that were fed back [batch, time] as values: sums over all steps of one phase."""
        lag = self.recipe.lag
        if lag == 0:
            return fed
        whole = b.op("Pad", fed, ints(0, 0, 0, lag - 1), scalar(0))
        seasons = b.op("Div", b.size(whole, 1), ints(lag))
        whole = b.op("Slice", whole, ints(0), b.op("Mul", seasons, ints(lag)), ints(1))
        by_season = b.op("Reshape", whole, b.op("Concat", b.size(x, 0), seasons, ints(lag), axis=0))
        base = b.op("Unsqueeze", self._base(b, x, lengths, lag), ints(1))
        values = b.op("Add", b.op("CumSum", by_season, scalar(1, np.int64)), base)
        flat = b.op("Reshape", values, b.op("Concat", b.size(x, 0), ints(-1), axis=0))
        return b.op("Slice", flat, ints(0), b.size(fed, 1), ints(1))

    def _resume(self, b: Builder, x: Value, lengths: Value, n_blocks: Value) -> Value:
        """Goes on from the state after the series. What is fed back [batch, time], all blocks and maybe a few more."""
        features, state = self._body.begin(b, x, lengths)
        first = self._feed(b, self._answer(b, features, self._last_value(b, x, lengths), state))

        at_once = STEPS_AT_ONCE if self._horizon == 1 else 1

        def body(inner: Builder, number: Value, carried: list[Value]) -> tuple[list[Value], Value]:
            del number
            block, *after = carried
            blocks = []
            for _ in range(at_once):
                features, after = self._body.resume(inner, block, after)
                last = block if self._horizon == 1 else inner.slice(block, -1, None, 1)
                block = self._feed(inner, self._answer(inner, features, last, after))
                blocks.append(block)
            return [block, *after], inner.op("Concat", *blocks, axis=1) if at_once > 1 else block

        # The first block is there already: n - 1 of them, rounded up.
        trips = b.op("Div", b.op("Add", n_blocks, ints(at_once - 2)), ints(at_once))
        rest = b.loop(trips, [first, *state], body)
        return b.op("Concat", first, self._in_a_row(b, rest, x), axis=1)

    def _in_a_row(self, b: Builder, blocks: Value, x: Value) -> Value:
        """[trips, batch, block] -> [batch, time]."""
        shape = b.op("Concat", b.size(x, 0), ints(-1), axis=0)
        return b.op("Reshape", b.op("Transpose", blocks, perm=[1, 0, 2]), shape)

    def _encode_again(self, b: Builder, x: Value, lengths: Value, n_blocks: Value) -> Value:
        """Feeds the longer series whole for each block, where no state fits the block's length."""
        block = self._horizon
        room = b.op("Mul", n_blocks, ints(block))
        pads = b.op("Concat", ints(0, 0, 0), room, axis=0)
        longer = b.op("Pad", x, pads, scalar(0))
        positions = b.op("Unsqueeze", b.range(b.size(longer, 1)), ints(0))  # [1, time]

        def body(inner: Builder, number: Value, carried: list[Value]) -> tuple[list[Value], Value]:
            (series,) = carried
            ends = inner.op("Add", lengths, inner.op("Mul", number, scalar(block, np.int64)))
            fed = self._feed(inner, self._answer(inner, self._body.last(inner, series, ends), "", []))
            offsets = inner.op("Sub", positions, inner.op("Unsqueeze", ends, ints(1)))  # [batch, time]
            inside = inner.op("Min", inner.op("Max", offsets, scalar(0, np.int64)), scalar(block - 1, np.int64))
            placed = inner.pick(fed, inside)
            fresh = inner.op("Equal", offsets, inside)
            return [inner.op("Where", fresh, placed, series)], fed

        return self._in_a_row(b, b.loop(n_blocks, [longer], body), x)
