"""No series ruins what the others get, and nothing that was not measured counts."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from service.errors import TrainingFailed
from service.training.reference_forecast import Forecaster
from service.training.training_result import TrainingResult
from tests.training.bench import SHORT, Bench, bounds_of, regular, sparse, values_of

PANEL: list[Any] = [regular(150, seed) for seed in range(12)]
GUESTS: dict[str, list[float | None]] = {
    "a constant": [5.0] * 150,
    "one that stopped": [*regular(100, 4), *[0.0] * 50],
    "zeros": [0.0] * 150,
    "zeros for years": [*[0.0] * 100, *regular(50, 4)],
    "one sale": [*[0.0] * 80, 5.0, *[0.0] * 69],
    "a level of 1e9": [1e9 + value for value in regular(150, 4)],
    "a unit of 1e-9": [1e-9 * value for value in regular(150, 4)],
    "a unit of 1e30": [1e30 * value for value in regular(150, 4)],
    "a price that steps once": [*[100.0] * 100, *[110.0] * 50],
    "a -9999": [*regular(100, 4), -9999.0, *regular(49, 5)],
    "five of 1e12": [*regular(100, 4), *[1e12] * 5, *regular(45, 5)],
    "1e12 at the end": [*regular(149, 4), 1e12],
    "1e30 in validation": [*regular(138, 4), 1e30, *regular(11, 5)],
    "nulls at the end": [*regular(105, 4), *[None] * 45],
    "ten points": [value if i % 15 == 5 else None for i, value in enumerate(regular(150, 4))],
    "one point": [5.0],
    "nearly a constant": [5 + 1e-9 * value for value in regular(150, 4)],
}


@pytest.fixture(scope="module", params=["theta", pytest.param("ridge", marks=pytest.mark.exhaustive)])
def without(request: pytest.FixtureRequest, bench: Bench) -> TrainingResult:
    """What the panel gets without a guest."""
    return bench.fit(PANEL, architecture=request.param, horizon=7)


def test_a_series_that_stopped_leaves_the_intervals_of_the_others_as_they_are(bench: Bench) -> None:
    a, b, c, stopped = regular(100, 1), regular(100, 2), regular(100, 3), [*regular(60, 4), *[0.0] * 40]
    widths = []
    for series in ([a, b, c], [a, b, c, stopped]):
        version = bench.train(series, architecture="theta", horizon=3)
        (answer,) = bench.forecast(version, a, level=(80.0, 95.0))
        lower, upper = bounds_of(answer, "95")
        # The week's values at 100 to 102, with noise of 0 to 1: bounds of 1e29 once.
        assert values_of(answer) == pytest.approx([26.5, 29.5, 32.5], abs=1)
        assert (upper - lower < 4).all()
        widths.append(upper - lower)
        if len(series) == 4:
            (still,) = bench.forecast(version, stopped, level=(80.0,))
            assert np.isfinite(bounds_of(still, "80")).all()
            assert bounds_of(still, "80")[0].min() >= 0
    assert widths[1] == pytest.approx(widths[0], rel=0.35)


def test_bounds_of_spare_parts_are_of_the_size_of_what_is_sold_and_never_below_zero(bench: Bench) -> None:
    parts = sparse(50)
    version = bench.train(parts, architecture="theta", horizon=14)
    assert 70 <= version.metrics["test"]["coverage"]["80"] <= 92
    for answer in bench.forecast(version, parts, level=(80.0,)):
        lower, upper = bounds_of(answer, "80")
        assert lower.min() >= 0
        # 1e28 once.
        assert upper.max() < 12


# Each kind of trouble once; the others are the same at another place or size.
QUICK_GUESTS = {"one that stopped", "one sale", "a unit of 1e30", "five of 1e12", "1e30 in validation", "ten points"}


@pytest.mark.parametrize(
    "guest",
    [
        pytest.param(guest, id=name, marks=() if name in QUICK_GUESTS else pytest.mark.exhaustive)
        for name, guest in GUESTS.items()
    ],
)
def test_a_guest_moves_neither_scores_nor_residuals_of_the_others(
    bench: Bench, without: TrainingResult, guest: list[float | None]
) -> None:
    first, second = without, bench.fit([*PANEL, guest], architecture=without.recipe.architecture, horizon=7)
    assert second.gate is not None
    assert second.gate["passed"], second.gate
    assert first.calibration is not None
    assert second.calibration is not None
    # Most residuals are of the others: their middle stays, and none becomes a huge one's.
    middle = [np.median(np.concatenate(one.calibration["residuals"])) for one in (first, second) if one.calibration]
    assert middle[1] == pytest.approx(middle[0], rel=0.15)
    count = sum(len(step) >= 4 for step in second.calibration["residuals"])
    assert count == 7
    # The newest windows of eight of the others, each in a unit of its own, and forecasts of them.
    (inputs, before), (same, after) = first.proofs[-1], second.proofs[-1]
    assert np.array_equal(inputs, same)
    assert np.abs(after - before).max() < 0.01


@pytest.mark.parametrize(
    "value", [-9999.0, *(pytest.param(value, marks=pytest.mark.exhaustive) for value in (175.0, 9e9))]
)
def test_one_wrong_value_moves_no_forecast_of_a_neighbour(bench: Bench, value: float) -> None:
    time = np.arange(150)
    noise = np.random.default_rng(3).standard_normal((9, 150))
    nine = [75 + 5 * np.sin(2 * np.pi * time / 7 + i) + 0.5 * noise[i] for i in range(9)]
    spoilt = [one.copy() for one in nine]
    spoilt[0][120] = value
    answers = []
    for series in (nine, spoilt):
        result = bench.fit(series, architecture="ridge", horizon=7)
        inputs = nine[3][None, -result.recipe.window :]
        answers.append(Forecaster(result.recipe, result.networks).forecast(inputs, 7)[0])
        assert result.metrics["baselines"]["linear"]["test"]["mase"] < 3
    # 72.2 for 79.8 once.
    assert np.abs(answers[0] - answers[1]).max() < 0.5


@pytest.mark.parametrize(
    "guest",
    [
        pytest.param("a constant", marks=pytest.mark.exhaustive),
        "nearly a constant",
        pytest.param("a price that steps once", marks=pytest.mark.exhaustive),
    ],
)
def test_a_quiet_series_does_not_decide_a_networks_weights(bench: Bench, guest: str) -> None:
    rng = np.random.default_rng(3)
    time = np.arange(150)
    series: list[Any] = [
        (50 + rng.random() * 200) * (1 + 0.3 * np.sin(2 * np.pi * (time + 7 * rng.random()) / 7) + 0.1 * noise)
        for noise in rng.standard_normal((40, 150))
    ]
    both = [
        bench.fit(panel, architecture="mlp", horizon=7, epochs=4, max_windows=3000)
        for panel in (series, [*series, GUESTS[guest]])
    ]
    scores = [one.metrics["baselines"]["seasonal_naive"]["validation"]["mae"] for one in both]
    assert scores[1] == pytest.approx(scores[0], rel=0.1)
    # 1.04 for 0.80 once.
    errors = [one.metrics["validation"]["mae"] * (40 + i) for i, one in enumerate(both)]
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_nulls_at_the_end_are_no_data(bench: Bench) -> None:
    rng = np.random.default_rng(0)
    weekly = [float(50 + 10 * np.sin(2 * np.pi * i / 52) + rng.random()) for i in range(140)]
    both: list[list[float | None]] = [[*weekly], [*weekly, *[None] * 14]]
    plain, trailing = (bench.fit([series], "W", architecture="ridge", horizon=14) for series in both)
    assert trailing.metrics == plain.metrics
    assert all(np.array_equal(a, b) for a, b in zip(trailing.weights, plain.weights, strict=True))
    assert trailing.metrics["baselines"]["naive"]["test"]["mae"] > 1  # 0 once
    version = bench.train([both[1]], "W", architecture="ridge", horizon=14)
    first, second = (bench.forecast(version, series)[0] for series in both)
    assert values_of(first).tolist() == values_of(second).tolist()
    assert (first.starts_after, second.starts_after) == (None, 139)
    assert np.ptp(values_of(second)) > 1


@pytest.mark.parametrize("gap", [slice(120, 147), slice(130, 149), slice(60, 120)], ids=["both", "test", "training"])
@pytest.mark.parametrize("architecture", ["ridge", pytest.param("theta", marks=pytest.mark.exhaustive)])
def test_a_gap_is_neither_scored_nor_learnt(bench: Bench, architecture: str, gap: slice) -> None:
    gappy: list[Any] = regular(150, 4)
    gappy[gap] = [None] * (gap.stop - gap.start)
    outcome = bench.fit([*PANEL, gappy], architecture=architecture, horizon=7)
    assert outcome.gate is not None
    assert outcome.gate["passed"]
    assert 0.5 < outcome.metrics["test"]["mase"] < 2
    assert outcome.metrics["test"]["coverage"]["80"] > 65


def test_a_gap_as_long_as_the_test_leaves_intervals_of_validation(bench: Bench) -> None:
    gappy: list[Any] = regular(150, 4)
    gappy[138:149] = [None] * 11
    outcome = bench.fit([gappy], architecture="ridge", horizon=7)
    assert "test" not in outcome.metrics
    assert outcome.calibration is not None
    assert min(map(len, outcome.calibration["residuals"])) >= 4


def test_series_of_which_gaps_leave_nothing_to_score_say_so(bench: Bench) -> None:
    sparse_points = [[value if i % 15 == 5 else None for i, value in enumerate(regular(150, s))] for s in range(3)]
    with pytest.raises(TrainingFailed, match="the gaps there are longer"):
        bench.fit(sparse_points, architecture="ridge", horizon=7)


@pytest.mark.parametrize("architecture", ["ridge", pytest.param("theta", marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(
    "series",
    [
        [[5.0] * 150] * 3,
        [[0.0] * 150],
        [[10.0 + i + 3 * (t % 7) for t in range(150)] for i in range(3)],
        [[float(np.sin(2 * np.pi * t / 7)) for t in range(150)]],
        [[1e9 + float(np.sin(2 * np.pi * t / 7)) for t in range(150)]],
    ],
    ids=["constant", "zero", "periodic", "a sine", "a sine on a level of 1e9"],
)
def test_a_tie_with_seasonal_naive_passes(bench: Bench, architecture: str, series: list[list[float]]) -> None:
    outcome = bench.fit(series, architecture=architecture, horizon=7)
    assert outcome.gate is not None
    assert outcome.gate["passed"], outcome.gate
    assert outcome.gate["scores"]["metric"] == "mae"
    # 3.265e+07 once.
    assert outcome.metrics["validation"]["mase"] is None
    assert outcome.metrics["validation"]["mae"] < 1e-5 * max(map(abs, series[0])) + 1e-12


@pytest.mark.parametrize("architecture", ["mlp", pytest.param("gru", marks=pytest.mark.exhaustive)])
def test_a_network_that_learnt_a_sine_is_no_worse_than_the_sine(bench: Bench, architecture: str) -> None:
    sine = [float(np.sin(2 * np.pi * t / 7)) for t in range(150)]
    outcome = bench.fit([sine], architecture=architecture, horizon=7, units=16)
    assert outcome.gate is not None
    assert outcome.gate["passed"], outcome.gate
    assert outcome.metrics["validation"]["mae"] < 2e-3


@pytest.mark.parametrize("length", [200, pytest.param(2000, marks=pytest.mark.exhaustive)])
def test_a_long_trend_hides_no_error_from_the_gate(bench: Bench, length: int) -> None:
    """Seasonal naive errs by seven steps of a ramp, naive by four in the mean."""
    ramp = [float(t) for t in range(length)]
    outcome = bench.fit([ramp], architecture="ridge", horizon=7, season=7)
    assert outcome.gate is not None
    assert outcome.gate["scores"]["seasonal_naive"] == pytest.approx(1, rel=0.02)
    assert outcome.gate["passed"]


def test_whoever_errs_by_nothing_meets_a_champion_that_does_as_well(bench: Bench) -> None:
    series = [[10.0 + 3 * (t % 7) for t in range(150)]]
    for _ in range(2):
        version = bench.train(series, architecture="ridge", horizon=7, name="tied")
        assert version.gate is not None
        assert version.gate["passed"], version.gate
    champion = bench.catalog().model("tied").current
    assert champion is not None
    assert champion.version == 2


@pytest.mark.parametrize(
    ("architecture", "season", "length"),
    [
        ("mlp", 7, 30),
        ("theta_mlp", 1, 150),
        *(
            pytest.param(*choice, marks=pytest.mark.exhaustive)
            for choice in product(("mlp", "theta_mlp"), (1, 7), (150, 30))
            if choice not in (("mlp", 7, 30), ("theta_mlp", 1, 150))
        ),
    ],
)
def test_one_series_alone_is_enough(bench: Bench, architecture: str, season: int, length: int) -> None:
    outcome = bench.fit([regular(length, 1)], architecture=architecture, horizon=2, season=season, units=8, **SHORT)
    assert np.isfinite(outcome.metrics["test"]["mae"])


@pytest.mark.parametrize("length", [1, pytest.param(9, marks=pytest.mark.exhaustive), 20])
def test_a_series_too_short_for_the_horizon_does_no_harm(bench: Bench, length: int) -> None:
    outcome = bench.fit([*PANEL, regular(length, 4)], architecture="ridge", horizon=14)
    assert outcome.gate is not None
    assert outcome.gate["passed"], outcome.gate
