"""The chapter's models as data: a body, a head and the hyper-parameters that the chapter gives them.

The API reads this table to check and explain requests, `service.networks` to build networks; neither needs the other
for it.
Source of the rows: A. Géron, Hands-On Machine Learning, chapter 15, "Processing Sequences Using RNNs and CNNs".
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

Head = Literal["one_step", "vector", "sequence"]
Mode = Literal["one_step", "autoregressive", "vector", "sequence"]
Body = Literal["naive", "linear", "window", "simple_rnn", "lstm", "gru", "conv_gru", "wavenet", "patch_transformer"]
Readout = Literal["repeat", "base", "dense", "affine", "residual", "experts", "recurrent", "decoder", "unrolled"]
# A forecast that needs no weights, which others begin with.
Base = Literal["seasonal_naive", "theta"]
Normalization = Literal["none", "layer", "batch"]

HEADS: tuple[Head, ...] = ("one_step", "vector", "sequence")
RECURRENT_BODIES: tuple[Body, ...] = ("simple_rnn", "lstm", "gru", "conv_gru")

# The modes that a head serves, the one that `auto` means first.
MODES: dict[Head, tuple[Mode, ...]] = {
    "one_step": ("one_step", "autoregressive"),
    "vector": ("vector",),
    "sequence": ("sequence", "vector"),
}


def check_known(what: str, value: str, kind: Any) -> None:
    """Raises ValueError for a word that a `Literal` has not, before anything takes it for another."""
    if value not in get_args(kind):
        raise ValueError(f"There is no {what} {value!r}: expected one of {', '.join(get_args(kind))}.")


@dataclass(frozen=True, slots=True)
class Preset:
    """One row of the chapter's table, or of ours.

    `readout` is how features become a forecast: `repeat` the last value, a `dense` layer, a last `recurrent` layer of
    one unit, a `decoder` that is fed its own output (encoder-decoder), `unrolled`: the features are the input of the
    first step of a recurrent layer and zeros that of the others (vector-to-sequence), or the forecast of the `base`: by
    itself, or with what an `affine` function of the window or `residual` layers add to it; or the forecasts of the
    zero-shot model's `experts`, weighed.
    `batch_size` and `epochs` are those on waves, where an epoch has `fresh_windows` that never come again, or with 0
    all windows of the same series. `panel_epochs` are those on series of one's own, of which each epoch draws other
    windows; `on_panels` names the preset whose sizes it has there.
    `kernel` and `stride` are those of a convolution before the layers, which answers at every stride's step.
    `heads` are those that the body and readout can have. `in_chapter` marks the rows of the chapter's table.
    """

    name: str
    summary: str
    body: Body
    head: Head
    readout: Readout = "dense"
    units: int = 20
    layers: int = 2
    normalization: Normalization = "none"
    learning_rate: float = 0.001
    dropout: float = 0.0
    kernel: int = 1
    stride: int = 1
    batch_size: int = 32
    epochs: int = 20
    fresh_windows: int = 0
    panel_epochs: int = 10
    on_panels: str = ""
    base: Base = "seasonal_naive"
    heads: tuple[Head, ...] = HEADS
    in_chapter: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError: there is no such body, head, readout, base or normalization."""
        check_known("body", self.body, Body)
        check_known("head", self.head, Head)
        check_known("readout", self.readout, Readout)
        check_known("base", self.base, Base)
        check_known("normalization", self.normalization, Normalization)

    @property
    def is_fitted(self) -> bool:
        return self.readout not in ("repeat", "base")

    @property
    def is_solved(self) -> bool:
        """Whether its weights are the solution of an equation, and not fitted step by step."""
        return self.readout == "affine"

    @property
    def corrects(self) -> bool:
        """Whether it begins with the forecast of a base or of experts, so that its window holds a season."""
        return self.readout in ("base", "affine", "residual", "experts")

    @property
    def is_fixed_length(self) -> bool:
        """Whether the model reads exactly its last `window` points, whatever the scaling, and needs as many."""
        return self.body == "linear"

    @property
    def slides(self) -> bool:
        """Whether the model reads its last `window` points at most, whatever the scaling, also in a roll-out."""
        return self.body in ("linear", "window")

    @property
    def is_baseline(self) -> bool:
        return self.body in ("naive", "linear")


# In the order in which starter models are trained: the first answer soonest, then the models that are asked for most.
PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("naive", "Repeats the last value.", "naive", "vector", readout="repeat", units=0, layers=0),
        Preset("linear", "One dense layer over the last 50 values.", "linear", "vector", units=0, layers=0),
        Preset("lstm", "Two LSTM layers, a forecast at every step.", "lstm", "sequence"),
        Preset("gru", "Two GRU layers, a forecast at every step.", "gru", "sequence"),
        Preset(
            "simple_rnn",
            "One recurrent unit, one step ahead.",
            "simple_rnn",
            "one_step",
            readout="recurrent",
            units=1,
            layers=1,
            learning_rate=0.005,
        ),
        Preset("deep_rnn", "Stacked simple RNN, one step ahead.", "simple_rnn", "one_step", readout="recurrent"),
        Preset("vector_rnn", "Simple RNN, all steps at once from the last state.", "simple_rnn", "vector"),
        Preset(
            "sequence_rnn",
            "Simple RNN, a forecast at every step.",
            "simple_rnn",
            "sequence",
            learning_rate=0.01,
        ),
        Preset(
            "ln_rnn",
            "Simple RNN whose cells normalise their output.",
            "simple_rnn",
            "sequence",
            normalization="layer",
        ),
        Preset("conv_gru", "Strided convolution, then two GRU layers.", "conv_gru", "sequence", kernel=4, stride=2),
        Preset("wavenet", "Dilated causal convolutions: 1, 2, 4, 8, twice.", "wavenet", "sequence"),
        Preset(
            "patchtst",
            "A transformer over patches of 8 points: two attention blocks.",
            "patch_transformer",
            "vector",
            units=32,
            kernel=8,
            stride=4,
            normalization="layer",
            panel_epochs=20,
            in_chapter=False,
        ),
        Preset(
            "encoder_decoder",
            "A GRU reads the series, another writes the forecast from its state.",
            "gru",
            "vector",
            readout="decoder",
            layers=1,
            heads=("vector",),
            in_chapter=False,
        ),
        Preset(
            "vector_to_sequence",
            "The last window is the input of a recurrent layer's first step, zeros after.",
            "linear",
            "vector",
            readout="unrolled",
            layers=1,
            heads=("vector",),
            in_chapter=False,
        ),
        Preset(
            "ridge",
            "Ridge regression on the last window corrects the seasonal naive forecast: solved at once, not fitted.",
            "window",
            "vector",
            readout="affine",
            units=0,
            layers=0,
            panel_epochs=1,
            heads=("vector",),
            in_chapter=False,
        ),
        Preset(
            "mlp",
            "Residual layers over the last window correct the seasonal naive forecast: the one for series of your own.",
            "window",
            "vector",
            readout="residual",
            units=128,
            layers=2,
            dropout=0.2,
            panel_epochs=20,
            heads=("vector",),
            in_chapter=False,
        ),
        Preset(
            "theta",
            "The Theta method: exponential smoothing with half the trend, on series without their season; not fitted.",
            "window",
            "vector",
            readout="base",
            units=0,
            layers=0,
            base="theta",
            heads=("vector",),
            in_chapter=False,
        ),
        Preset(
            "theta_mlp",
            "Residual layers over the last few seasons correct the forecast of the Theta method.",
            "window",
            "vector",
            readout="residual",
            units=128,
            layers=2,
            dropout=0.2,
            panel_epochs=20,
            base="theta",
            heads=("vector",),
            in_chapter=False,
        ),
        Preset(
            "zero_shot",
            "The model that forecasts without training, whose weights of classical forecasts are fine-tuned.",
            "window",
            "vector",
            readout="experts",
            units=0,
            layers=0,
            learning_rate=0.0003,
            panel_epochs=10,
            heads=("vector",),
            in_chapter=False,
        ),
        Preset(
            "flagship",
            "The best forecasts: on waves four wide residual layers and windows that never come again; on series of "
            "your own what `auto` fits.",
            "window",
            "vector",
            readout="residual",
            units=256,
            layers=4,
            batch_size=256,
            epochs=25,
            fresh_windows=102_400,
            panel_epochs=20,
            on_panels="mlp",
            in_chapter=False,
        ),
    )
}

CHAPTER: tuple[str, ...] = tuple(name for name, preset in PRESETS.items() if preset.in_chapter)
