"""What a row of the table of options says. The table is `service.domain.recipes.options`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from service.domain.recipes.presets import Preset, Readout


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which numbers are allowed: `ge` and `le` belong to the range, `gt` and `lt` don't. None is no bound."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def given(self) -> dict[str, float]:
        """The bounds that there are, by name."""
        named = {"ge": self.ge, "gt": self.gt, "le": self.le, "lt": self.lt}
        return {name: bound for name, bound in named.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Models:
    """Which presets have an option. `words` name them in the docs."""

    words: str
    include: Callable[[Preset], bool]


@dataclass(frozen=True, slots=True)
class Derived:
    """A default that is no constant: `words` say what it follows from, `service.domain.recipes.resolve` computes it."""

    words: str


@dataclass(frozen=True, slots=True)
class Around:
    """The tuner's range: the usual value divided and multiplied by `factor`, by its logarithm."""

    factor: float


@dataclass(frozen=True, slots=True)
class Between:
    """The tuner's range: from `low` to `high`, or to `reach` more than the usual value where that is higher."""

    low: float
    high: float
    reach: float | None = None


@dataclass(frozen=True, slots=True)
class Among:
    """The tuner's choices, beside the usual value, for the networks that may be changed in this way."""

    choices: tuple[Any, ...]
    suits: Callable[[Preset, Readout], bool] = lambda preset, readout: True


Search = Around | Between | Among

ALL_MODELS = Models("all", lambda preset: True)
NO_MODELS = Models("none", lambda preset: False)
# Each preset has its own; `Preset` and `Recipe` call it as the option.
OF_PRESET = Derived("the preset's")
# Not an option but a condition: the object that it belongs to is incomplete without it.
REQUIRED = Derived("required")


@dataclass(frozen=True, slots=True)
class Option:
    """A field of `POST /train` that changes what is trained.

    Args:
        name: the field; of a constant default or `OF_PRESET`, also the field of `Recipe`.
        type: bool, int, float, a `Literal`, or dict for an object of `fields`.
        description: for people who look it up.
        default: None where leaving it out switches it off.
        models: the presets that have it.
        on_waves: those of them that have it on synthetic data as well. All have it on the user's own series.
        search: what the tuner tries, None for what it leaves alone.
        is_auto_choice: whether `auto` chooses it by itself, so that nobody else may.
        is_nullable: whether null counts as not given, as it does for all that need not be there.
        has_flag: whether the command line has a flag of this name.
    """

    name: str
    type: Any
    description: str
    bounds: Bounds = Bounds()
    default: Any = None
    models: Models = ALL_MODELS
    on_waves: Models = ALL_MODELS
    search: Search | None = None
    is_auto_choice: bool = False
    is_nullable: bool = True
    has_flag: bool = True
    fields: tuple["Option", ...] = ()

    @property
    def choices(self) -> tuple[str, ...]:
        """The words of a `Literal`; none for numbers and objects."""
        return get_args(self.type)

    @property
    def is_settled_by_itself(self) -> bool:
        """Whether the default is a constant or stands in the preset, whatever the data and the other options."""
        return not self.fields and (self.default is OF_PRESET or not isinstance(self.default, Derived))

    def settle(self, given: Mapping[str, Any], preset: Preset) -> Any:
        """What is given, or the default that the option has by itself."""
        default = getattr(preset, self.name) if self.default is OF_PRESET else self.default
        return given.get(self.name, default)

    def settle_fields(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of an object, with their defaults where they are not given."""
        return {field.name: given.get(field.name, field.default) for field in self.fields}
