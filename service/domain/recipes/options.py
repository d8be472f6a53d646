"""The options of a training request: one table, from which all follows that must know them.

Its readers: the body of `POST /train` (`service.api.schemas.train`), what is refused (`option_checks`), defaults
(`resolve`), the tuner (`search_space`), `auto` (`auto_candidates`), the flags of `outfielder train`, and the table in
docs/api.md. A new option is a row here, a field of `Recipe`, and the code that uses it.
"""

from typing import Literal

from service.domain.recipes.option import (
    NO_MODELS,
    OF_PRESET,
    REQUIRED,
    Among,
    Around,
    Between,
    Bounds,
    Derived,
    Models,
    Option,
)
from service.domain.recipes.presets import RECURRENT_BODIES, Head, Normalization, Preset, Readout

AskedScaling = Literal["none", "standard", "mean", "robust", "auto"]
Difference = Literal["none", "first", "seasonal"]
Optimizer = Literal["adam", "nadam", "rmsprop", "sgd"]
Loss = Literal["mse", "mae"]
Initializer = Literal[
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "orthogonal",
]
# What a request may ask for: where the chosen one can't end in tanh, `resolve` gives a dense one.
AskedReadout = Literal["dense", "recurrent"]

DEFAULT_WINDOW = 50
DEFAULT_HORIZON = 10
MAX_SEASON = 336
# What `auto` takes when it is not told.
AUTO_SECONDS = 600.0

FITTED = Models("fitted", lambda preset: preset.is_fitted)
TRAINED = Models("trained", lambda preset: preset.is_fitted and not preset.is_solved)
DIFFERENCED = Models("differenced", lambda preset: preset.is_fitted and not preset.corrects)
INITIALIZED = Models("trained from scratch", lambda preset: TRAINED.include(preset) and preset.readout != "experts")
LAYERED = Models("layered", lambda preset: preset.units > 0)
NORMALIZED = Models("normalized", lambda preset: preset.units > 0 and not preset.corrects)
RECURRENT = Models("recurrent", lambda preset: preset.units > 0 and preset.body in RECURRENT_BODIES)
SAMPLED_ON_WAVES = Models("with fresh waves in every epoch", lambda preset: preset.fresh_windows > 0)
ENDING_IN_RECURRENCE = Models("with a last recurrent unit", lambda preset: preset.readout == "recurrent")

COUNT = Bounds(ge=1, le=10_000)
SECONDS = Bounds(gt=0, le=86_400)
SHARE = Bounds(ge=0, lt=1)
SEED = Bounds(ge=0, lt=2**31)


def _normalizes_between_layers(preset: Preset, readout: Readout) -> bool:
    # Beyond the recurrent ones, normalising makes another network of it.
    return preset.body in RECURRENT_BODIES and readout == "dense"


TUNE = Option(
    "tune", dict, "Searches the options that the request leaves open; the best trial by validation is published.",
    models=TRAINED, is_auto_choice=True,
    fields=(
        Option("trials", int, "Fits at most; by default 20", Bounds(ge=1, le=1000), 20),
        Option("max_seconds", float, "No further trial begins after so long; by default 600", SECONDS, 600.0,
               has_flag=False),
    ),
)  # fmt: skip

# In the order in which the tuner draws them: another order would give other trials for the same seed.
OPTIONS: tuple[Option, ...] = (
    Option("head", Head, "What is forecast: the next step, all steps at once, or all steps at every time step",
           default=OF_PRESET, is_auto_choice=True),
    Option("window", int, "Points that the model learns to read", COUNT,
           Derived(f"{DEFAULT_WINDOW}; on own series from the season and the lengths"), is_auto_choice=True),
    Option("horizon", int,
           "Steps that it learns to forecast; of a one-step head on own series, how far it is calibrated",
           Bounds(ge=1, le=1000),
           Derived(f"{DEFAULT_HORIZON}, of a one-step head 1; on own series from the season and the lengths")),
    Option("scaling", AskedScaling, "By default none on waves; on own series auto: what validates best",
           default=Derived("`none`; on own series `auto`"), is_auto_choice=True),
    Option("log", bool, "Own series: learn in logarithms",
           default=False, models=FITTED, on_waves=NO_MODELS, is_auto_choice=True),
    Option("difference", Difference, "Own series: learn differences; by default against the season",
           default=Derived("`seasonal`, or `first` without a season; `none` where `scaling` is given or demand sparse"),
           models=DIFFERENCED, on_waves=NO_MODELS, is_auto_choice=True),
    Option("season", int, "Own series: points of the season; by default from freq and lengths",
           Bounds(ge=1, le=MAX_SEASON), Derived("from `freq` and the lengths"), on_waves=NO_MODELS),
    Option("refit", bool,
           "Own series: go on with all points once the model has been measured; by default true",
           default=Derived("true"), models=FITTED, on_waves=NO_MODELS),
    Option("ensemble", dict, "Several networks of one kind with seeds of their own, whose mean is the forecast.",
           models=TRAINED, is_auto_choice=True,
           fields=(Option("members", int, "Number of networks", Bounds(ge=1, le=10), REQUIRED, is_nullable=False),)),
    TUNE,
    Option("max_windows", int, "Own series: windows drawn in an epoch", Bounds(ge=1, le=10_000_000),
           Derived("100 batches; on waves the preset's"), models=TRAINED, on_waves=SAMPLED_ON_WAVES),
    # Models without epochs have it too: they are fitted at once, within any time.
    Option("max_seconds", float,
           "When fitting ends: after the epoch in which so much time is up, and what has been learned is published; of "
           f"auto, when the last fit must have ended ({AUTO_SECONDS:.0f} by default)", SECONDS),
    Option("epochs", int, "Passes over the training windows", COUNT,
           Derived("the preset's, one for waves and one for own series"), models=TRAINED),
    Option("learning_rate", float, "Step size of the optimizer; on own series it falls to zero along half a cosine",
           Bounds(gt=0, le=100), OF_PRESET, TRAINED, search=Around(10)),
    Option("batch_size", int, "Windows per training step", Bounds(ge=1, le=100_000),
           Derived("the preset's, of a sequence head 32; on own series 128"), models=TRAINED,
           search=Among((16, 32, 64, 128, 256))),
    Option("optimizer", Optimizer, "Algorithm that updates the weights", default="adam", models=TRAINED),
    Option("loss", Loss, "Loss function that training minimises",
           default=Derived("`mse`; on own series `mae`, of intermittent demand `mse`"), models=TRAINED),
    Option("seed", int, "Random seed: the same request trains the same model on a CPU",
           SEED, 42),
    Option("early_stopping", dict,
           "Ends the fit when the validation loss no longer falls, and restores the best weights.", models=TRAINED,
           fields=(Option("patience", int, "Epochs without a better validation loss", COUNT, 5, is_nullable=False),)),
    Option("units", int, "Units per layer", Bounds(ge=1, le=2048), OF_PRESET, LAYERED,
           search=Around(4), is_auto_choice=True),
    Option("layers", int, "Number of layers; of wavenet, stacks of four", Bounds(ge=1, le=32), OF_PRESET, LAYERED,
           search=Between(1, 3, reach=1), is_auto_choice=True),
    Option("dropout", float, "Dropout rate", SHARE, OF_PRESET, LAYERED,
           search=Between(0.0, 0.5), is_auto_choice=True),
    Option("recurrent_dropout", float, "Dropout rate of the recurrent state", SHARE, 0.0,
           RECURRENT, is_auto_choice=True),
    Option("normalization", Normalization, "Layer or batch normalization of the features", default=OF_PRESET,
           models=NORMALIZED, search=Among(("none", "layer"), _normalizes_between_layers),
           is_auto_choice=True),
    Option("kernel_initializer", Initializer, "Initializer of the weights", default="glorot_uniform",
           models=INITIALIZED, is_auto_choice=True),
    Option("readout", AskedReadout, "Of simple_rnn and deep_rnn: a dense layer, or a last recurrent unit",
           default=Derived("`recurrent` where the head is one_step and the scaling none, else `dense`"),
           models=ENDING_IN_RECURRENCE, is_auto_choice=True),
)  # fmt: skip

# The waves that are trained on where a request brings no series: fields of `data`, and of `SyntheticData`.
WAVES: tuple[Option, ...] = (
    Option("n_series", int, "synthetic: 70 % are for training, 20 % for validation, 10 % for test; by default 10,000",
           Bounds(ge=10, le=1_000_000), 10_000),
    Option("n_steps", int, "synthetic: points of each series; by default window + horizon",
           Bounds(ge=2, le=20_000), Derived("`window` + `horizon`")),
    Option("noise", float, "synthetic: by default 0.1", Bounds(ge=0, le=1000), 0.1),
    Option("seed", int, "synthetic: random seed of the waves", SEED, 42),
)  # fmt: skip


def inapplicable(preset: Preset, options: tuple[Option, ...] = OPTIONS) -> set[str]:
    """The names of the options that a preset has not, whatever the data."""
    return {option.name for option in options if not option.models.include(preset)}


def only_on_own_series(preset: Preset, options: tuple[Option, ...] = OPTIONS) -> list[str]:
    """The names of the options that a preset has on the user's own series but not on waves."""
    return [option.name for option in options if option.models.include(preset) and not option.on_waves.include(preset)]
