"""A training recipe: a preset with every option settled and checked against the others."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast

from service.domain.presets import (
    HEADS,
    MODES,
    PRESETS,
    RECURRENT_BODIES,
    Head,
    Mode,
    Normalization,
    Preset,
    Readout,
)
from service.errors import Flaw, InvalidRequest

Scaling = Literal["none", "standard"]
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

DEFAULT_WINDOW = 50
DEFAULT_HORIZON = 10
# The convolution of conv_gru: kernel 4, stride 2.
CONV_KERNEL = 4
CONV_STRIDE = 2


@dataclass(frozen=True, slots=True)
class SyntheticData:
    """The chapter's waves: `n_series` series of `n_steps` points with `noise` times uniform noise on [-0.5, 0.5)."""

    n_series: int = 10_000
    n_steps: int = DEFAULT_WINDOW + DEFAULT_HORIZON
    noise: float = 0.1
    seed: int = 42
    kind: Literal["synthetic"] = "synthetic"


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides a trained model. The same recipe gives the same model on the CPU.

    `window` and `horizon` are points; `patience` is epochs without a better validation loss before training stops, or
    None for no early stopping.
    """

    architecture: str
    name: str
    head: Head
    readout: Readout
    window: int
    horizon: int
    scaling: Scaling
    units: int
    layers: int
    dropout: float
    recurrent_dropout: float
    normalization: Normalization
    kernel_initializer: Initializer
    optimizer: Optimizer
    learning_rate: float
    loss: Loss
    epochs: int
    batch_size: int
    seed: int
    patience: int | None
    data: SyntheticData

    @property
    def preset(self) -> Preset:
        return PRESETS[self.architecture]

    @property
    def modes(self) -> tuple[Mode, ...]:
        return MODES[self.head]

    @property
    def min_length(self) -> int:
        """The fewest points that the model can forecast from."""
        if self.preset.is_fixed_length:
            return self.window
        return CONV_KERNEL if self.preset.body == "conv_gru" else 1

    @property
    def reads_whole_series(self) -> bool:
        """Whether the model reads all points that it is given, or only the last `window` of them."""
        return self.scaling == "none" and not self.preset.is_fixed_length

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Recipe":
        """Rebuilds what `to_dict` gave."""
        return cls(**{**fields, "data": SyntheticData(**fields["data"])})


def resolve(request: Mapping[str, Any]) -> Recipe:
    """Settles every option of a training request whose types and ranges are already checked.

    Args:
        request: the fields of `POST /train`; only `architecture` is required, None counts as not given.

    Raises:
        InvalidRequest: an unknown architecture, or options that don't fit each other; one flaw for each.
    """
    given = {key: value for key, value in request.items() if value is not None}
    preset = PRESETS.get(given["architecture"])
    if preset is None:
        raise InvalidRequest.at(
            "/architecture",
            "unknown_architecture",
            f"There is no architecture {given['architecture']!r}. Choose one of: {', '.join(PRESETS)}, or 'chapter' "
            "for all of the chapter's.",
        )
    head: Head = given.get("head", preset.head)
    scaling: Scaling = given.get("scaling", "none")
    window, horizon, data = _lengths(given, head)
    readout = _readout(given, preset, head, scaling)
    flaws = [*_inapplicable(given, preset, head), *_misfits(given, window, horizon, data, head)]
    if flaws:
        raise InvalidRequest(flaws)
    early_stopping = given.get("early_stopping")
    return Recipe(
        architecture=preset.name,
        name=given.get("name", preset.name),
        head=head,
        readout=readout,
        window=window,
        horizon=horizon,
        scaling=scaling,
        units=given.get("units", preset.units),
        layers=given.get("layers", preset.layers),
        dropout=given.get("dropout", 0.0),
        recurrent_dropout=given.get("recurrent_dropout", 0.0),
        normalization=given.get("normalization", preset.normalization),
        kernel_initializer=given.get("kernel_initializer", "glorot_uniform"),
        optimizer=given.get("optimizer", "adam"),
        learning_rate=given.get("learning_rate", preset.learning_rate),
        loss=given.get("loss", "mse"),
        epochs=given.get("epochs", 20) if preset.is_fitted else 0,
        batch_size=given.get("batch_size", 32),
        seed=given.get("seed", 42),
        patience=None if early_stopping is None else early_stopping["patience"],
        data=data,
    )


def _lengths(given: Mapping[str, Any], head: Head) -> tuple[int, int, SyntheticData]:
    """Window, horizon and the waves' length, each from the others where it is not given."""
    horizon: int = given.get("horizon", 1 if head == "one_step" else DEFAULT_HORIZON)
    fields = dict(given.get("data", {}))
    n_steps: int | None = fields.get("n_steps")
    window: int = given.get("window", DEFAULT_WINDOW if n_steps is None else n_steps - horizon)
    fields["n_steps"] = window + horizon if n_steps is None else n_steps
    return window, horizon, replace(SyntheticData(), **fields)


def _readout(given: Mapping[str, Any], preset: Preset, head: Head, scaling: Scaling) -> Readout:
    """A last recurrent unit ends in tanh and can't leave one standard deviation: only unscaled data may use it."""
    bounded_fits = head == "one_step" and scaling == "none"
    if preset.readout == "recurrent" and not bounded_fits:
        return "dense"
    return cast(Readout, given.get("readout", preset.readout))


def _inapplicable(given: Mapping[str, Any], preset: Preset, head: Head) -> list[Flaw]:
    """Options that the architecture has not: refused, since ignoring them would train another model than asked for."""
    flaws = []
    if head not in preset.heads:
        flaws.append(
            Flaw(
                "/head",
                "head_not_available",
                f"{preset.name} has no {head} head. Choose one of: {', '.join(preset.heads)} (of {', '.join(HEADS)}).",
            )
        )
    absent = set()
    if not preset.is_fitted:
        absent |= {
            "epochs",
            "batch_size",
            "learning_rate",
            "optimizer",
            "early_stopping",
            "loss",
            "kernel_initializer",
        }
    if preset.units == 0:
        absent |= {"units", "layers"} if preset.readout != "unrolled" else set()
        absent |= {"dropout", "recurrent_dropout", "normalization"}
    elif preset.body not in RECURRENT_BODIES:
        absent |= {"recurrent_dropout"}
    if preset.readout != "recurrent":
        absent |= {"readout"}
    for option in sorted(absent & given.keys()):
        flaws.append(
            Flaw(
                f"/{option}",
                "option_not_applicable",
                f"{preset.name} has no option {option!r}. Leave it out.",
            )
        )
    if given.get("readout") == "recurrent" and (head != "one_step" or given.get("scaling", "none") != "none"):
        flaws.append(
            Flaw(
                "/readout",
                "option_not_applicable",
                "A recurrent readout ends in tanh and stays within -1 and 1: it fits a one_step head with scaling "
                "'none' only. Use 'dense'.",
            )
        )
    return flaws


def _misfits(given: Mapping[str, Any], window: int, horizon: int, data: SyntheticData, head: Head) -> list[Flaw]:
    """Values that are right alone and wrong together."""
    flaws = []
    if head == "one_step" and horizon != 1:
        flaws.append(
            Flaw(
                "/horizon",
                "horizon_not_available",
                f"A one_step head forecasts one step: expected horizon 1, got {horizon}. Leave horizon out, or choose "
                "a vector or sequence head.",
            )
        )
    shortest = CONV_KERNEL if PRESETS[given["architecture"]].body == "conv_gru" else 1
    if window < shortest:
        flaws.append(
            Flaw(
                "/window" if "window" in given else "/data/n_steps",
                "window_too_short",
                f"{given['architecture']} needs a window of at least {shortest} points, got {window}. Give a longer "
                "window, or longer series: window + horizon points each.",
            )
        )
    elif data.n_steps < window + horizon:
        flaws.append(
            Flaw(
                "/data/n_steps",
                "series_too_short",
                f"Series of {data.n_steps} points don't hold a window of {window} and a horizon of {horizon}: expected "
                f"n_steps of at least {window + horizon}.",
            )
        )
    return flaws
