"""A training recipe: a preset with every option settled. `service.domain.recipes.resolve` makes them from requests."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from service.domain.normalization import Equivariance, find_equivariance
from service.domain.recipes.options import (
    DEFAULT_HORIZON,
    DEFAULT_WINDOW,
    Difference,
    Initializer,
    Loss,
    Optimizer,
)
from service.domain.recipes.presets import MODES, PRESETS, Head, Mode, Normalization, Preset, Readout, check_known
from service.domain.series import Missing

Scaling = Literal["none", "standard", "mean", "robust"]


@dataclass(frozen=True, slots=True)
class SyntheticData:
    """The chapter's waves: `n_series` series of `n_steps` points with `noise` times uniform noise on [-0.5, 0.5)."""

    n_series: int = 10_000
    n_steps: int = DEFAULT_WINDOW + DEFAULT_HORIZON
    noise: float = 0.1
    seed: int = 42
    kind: Literal["synthetic"] = "synthetic"


@dataclass(frozen=True, slots=True)
class PanelData:
    """The user's own series. `id` is what they are kept under, `digest` the SHA-256 of what they hold.

    `is_intermittent` says that most are of intermittent demand (`service.domain.intermittency`).
    """

    kind: Literal["series", "dataset"]
    id: str
    digest: str
    n_series: int
    n_points: int
    freq: str | None
    missing: Missing = "interpolate"
    is_intermittent: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides a trained model. The same recipe gives the same model on the CPU.

    `window` and `horizon` are points; `patience` is epochs without a better validation loss before training stops, or
    None for no early stopping. `season` is points, 1 for none; `seasons` are a short and a long one that the
    model knows, as the day and the week of hours, or none. On a panel, `evaluated_horizon` is how many steps are scored
    and calibrated (beyond the model's own horizon by roll-out), `min_history` the fewest points that a training
    window reads; under `chosen_on_validation` scaling, log and difference are only where the choice begins; `refit`
    goes on with all points once everything has been measured. `focus` is how many of a window's newest points the
    layers read that correct a base which reads the whole window, 0 for all. `max_windows` is how many windows an epoch
    draws, on waves too where they never come again; with 0 each epoch has the same ones.
    An ensemble's forecast is the mean of its `members`', each counting as its `weight` says.
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
    data: SyntheticData | PanelData
    log: bool = False
    difference: Difference = "none"
    season: int = 1
    seasons: tuple[int, ...] = ()
    evaluated_horizon: int = 0
    min_history: int = 1
    focus: int = 0
    max_windows: int = 0
    max_seconds: float | None = None
    chosen_on_validation: bool = False
    refit: bool = False
    weight: float = 1.0
    members: tuple["Recipe", ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError: no such head, readout or normalization, as in a job that a newer server has queued."""
        check_known("head", self.head, Head)
        check_known("readout", self.readout, Readout)
        check_known("normalization", self.normalization, Normalization)

    @property
    def preset(self) -> Preset:
        return PRESETS[self.architecture]

    @property
    def modes(self) -> tuple[Mode, ...]:
        return MODES[self.head]

    @property
    def lag(self) -> int:
        """How far apart the values are whose difference the model reads; 0 where it reads the values themselves."""
        return {"none": 0, "first": 1, "seasonal": max((self.season, *self.seasons))}[self.difference]

    @property
    def min_length(self) -> int:
        """The fewest points that the model can forecast from."""
        if self.members:
            return max(member.min_length for member in self.members)
        if self.preset.is_fixed_length:
            return self.window
        return self.lag + self.preset.kernel

    @property
    def longest_window(self) -> int:
        """The most points that the model, or the member that reads most, looks at."""
        return max((member.window for member in self.members), default=self.window)

    @property
    def reads_whole_series(self) -> bool:
        """Whether the model reads all points that it is given, or only the last `window` of them."""
        return self.scaling == "none" and not self.preset.slides and not self.members

    @property
    def equivariance(self) -> Equivariance:
        """How its forecasts follow a series that is moved or scaled."""
        if self.members:
            return find_equivariance({"members": [asdict(member) for member in self.members]})
        return find_equivariance({"scaling": self.scaling, "readout": self.readout, "log": self.log})

    @property
    def waves(self) -> SyntheticData:
        """The waves that it trains on. Raises TypeError where it trains on the user's series."""
        if isinstance(self.data, PanelData):
            raise TypeError("this recipe trains on the user's own series")
        return self.data

    @property
    def own_data(self) -> PanelData | None:
        """The user's series that it trains on; None for waves."""
        return self.data if isinstance(self.data, PanelData) else None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Recipe":
        """Rebuilds what `to_dict` gave."""
        data = fields["data"]
        kind = SyntheticData if data["kind"] == "synthetic" else PanelData
        members = tuple(cls.from_dict(member) for member in fields.get("members", ()))
        seasons = tuple(fields.get("seasons", ()))
        return cls(**{**fields, "data": kind(**data), "seasons": seasons, "members": members})


def weight_shares(members: Sequence[Recipe]) -> list[float]:
    """How much of an ensemble's forecast is each member's; they sum to 1."""
    total = sum(member.weight for member in members)
    return [member.weight / total for member in members]
