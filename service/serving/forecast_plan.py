"""Decides how a version answers a forecast request: mode, horizon, engine calls."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from service.domain.series import Missing
from service.errors import Flaw, InvalidRequest
from service.serving.interval_widths import HalfWidths, find_half_widths, find_quantile_widths
from service.store.manifest import Manifest

AskedMode = Literal["auto", "one_step", "autoregressive", "vector", "sequence"]

AUTOREGRESSIVE_HORIZON = 10


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """A forecast request without its series."""

    model: str | None = None
    version: int | str | None = None
    mode: AskedMode = "auto"
    horizon: int | None = None
    level: tuple[float, ...] = ()
    all_steps: bool = False
    missing: Missing = "interpolate"
    freq: str | None = None
    start: str | None = None
    season: int | None = None
    quantiles: tuple[float, ...] = ()
    non_negative: bool | None = None
    explain: bool = False
    fitted: bool = False


@dataclass(frozen=True, slots=True)
class ForecastPlan:
    """How a version answers: `horizon` steps in a mode; `rolled_out` beyond the version's own horizon.

    `half_widths` are those of the intervals asked for, by level, and `quantile_widths` those of the quantiles, each
    with its sign.
    """

    mode: str
    horizon: int
    rolled_out: bool
    half_widths: dict[str, HalfWidths] = field(default_factory=dict, compare=False)
    quantile_widths: dict[str, tuple[int, HalfWidths | None]] = field(default_factory=dict, compare=False)
    # Whether the request wants no number below zero.
    clips: bool = False

    @property
    def has_spread(self) -> bool:
        """Whether it takes how much each series moves."""
        return bool(self.half_widths or self.quantile_widths)

    @property
    def numbers_a_step(self) -> int:
        """How many numbers the answer has for each step: the forecast, two bounds of each interval, the quantiles."""
        return 1 + 2 * len(self.half_widths) + len(self.quantile_widths)


def make_forecast_plan(
    request: ForecastRequest, manifest: Manifest, *, max_horizon: int, default_horizon: int | None = None
) -> ForecastPlan:
    """Settles mode and horizon.

    Args:
        default_horizon: the steps where the request names none; by default the version's own.

    Raises:
        InvalidRequest: the version can't fulfil the request; one flaw for each reason.
    """
    flaws = []
    if request.horizon is not None and not 1 <= request.horizon <= max_horizon:
        flaws.append(
            Flaw(
                "/horizon",
                "horizon_out_of_bounds",
                f"Expected a horizon of 1 to {max_horizon} steps, got {request.horizon}.",
            )
        )
    mode = _auto(request, manifest) if request.mode == "auto" else request.mode
    if mode not in manifest.modes:
        flaws.append(
            Flaw(
                "/mode",
                "mode_not_available",
                f"{_name(manifest)} has a {manifest.head} head and no mode {mode!r}. Choose one of: "
                f"{', '.join(manifest.modes)}, or auto.",
            )
        )
    elif mode == "one_step" and request.horizon not in (None, 1) and not flaws:
        flaws.append(
            Flaw(
                "/horizon",
                "horizon_not_available",
                f"Mode 'one_step' forecasts one step: expected horizon 1, got {request.horizon}. Choose mode "
                "'autoregressive' for more.",
            )
        )
    if request.all_steps and mode != "sequence":
        flaws.append(
            Flaw(
                "/all_steps",
                "all_steps_not_available",
                f"Forecasts at all steps exist in mode 'sequence' only; the mode is {mode!r}.",
            )
        )
    flaws += _find_fractions(request.level)
    if not manifest.is_zero_shot:
        flaws += _find_zero_shot_fields(request, manifest)
    if flaws:
        raise InvalidRequest(flaws)
    default = AUTOREGRESSIVE_HORIZON if mode == "autoregressive" else default_horizon or manifest.horizon
    horizon = min(default, max_horizon) if request.horizon is None else request.horizon
    half_widths = find_half_widths(manifest, request.level, horizon)
    quantile_widths = find_quantile_widths(manifest, request.quantiles, horizon)
    rolled_out = horizon > manifest.horizon and not manifest.is_zero_shot
    return ForecastPlan(mode, horizon, rolled_out, half_widths, quantile_widths, clips=request.non_negative is True)


def _find_zero_shot_fields(request: ForecastRequest, manifest: Manifest) -> list[Flaw]:
    """Fields that other models have no use for."""
    own = manifest.data.get("season")
    flaws = []
    if request.season is not None and request.season != own:
        flaws.append(
            Flaw(
                "/season",
                "season_not_available",
                f"{_name(manifest)} was trained with {f'a season of {own} points' if own else 'no season'}, got "
                f"{request.season}. Leave `season` out, or ask the model 'zero-shot', which takes any.",
            )
        )
    if request.explain:
        flaws.append(
            Flaw(
                "/explain",
                "explain_not_available",
                f"{_name(manifest)} weighs no experts that could explain its forecast. Leave `explain` out, or ask the "
                "model 'zero-shot'.",
            )
        )
    return flaws


def _find_fractions(levels: Sequence[float]) -> list[Flaw]:
    """Levels that were meant as shares of one: as percent they would give intervals that hold next to nothing."""
    return [
        Flaw(
            f"/level/{index}",
            "level_is_fraction",
            f"Levels are in percent: expected more than 1 and less than 100, got {level:g}."
            + (f" Did you mean {100 * level:.6g}?" if level < 1 else ""),
        )
        for index, level in enumerate(levels)
        if level <= 1
    ]


def _auto(request: ForecastRequest, manifest: Manifest) -> str:
    """Autoregressive for a one-step head beyond one step; otherwise the head's first mode."""
    if manifest.head == "one_step" and request.horizon not in (None, 1):
        return "autoregressive"
    return manifest.modes[0]


def _name(manifest: Manifest) -> str:
    return f"Version {manifest.version} of {manifest.name!r}"
