"""Series of one's own, from the plan to published versions, with the real exporting process."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from service.domain.panel import Panel
from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.recipe import PanelData, weight_shares
from service.domain.recipes.training_plan import TrainingPlan
from service.errors import InvalidRequest, TrainingFailed
from service.store.catalog import Catalog
from service.store.manifest import Manifest
from service.training.data.panel_split import PreparedPanel, prepare_panel, read_panel
from service.training.fit_selection import choose_fits
from service.training.fits import Fits
from service.training.panel_fit import Fitted
from service.training.panel_training import train_on_panel
from service.training.progress import ProgressReporter
from service.training.promotion import MEASURED
from service.training.reference_forecast import Forecaster
from service.training.training_result import TrainingResult
from tests.training.bench import Bench
from tests.training.recorder import Recorder

SMALL = {"epochs": 2, "max_windows": 400, "batch_size": 50}


def monthly(n_series: int = 30, length: int = 96, seed: int = 0) -> list[np.ndarray]:
    """Seasonal series of very different lengths and magnitudes, with a trend and noise."""
    rng = np.random.default_rng(seed)
    series = []
    for i in range(n_series):
        time = np.arange(length - (i % 5) * 8)
        wave = np.sin(2 * np.pi * (time + 12 * rng.random()) / 12)
        series.append(10.0 ** (i % 6 - 2) * (5 + wave + 0.02 * time + 0.2 * rng.standard_normal(len(time))))
    return series


class Workshop:
    """The bench's store, data sets and trainer, for monthly series."""

    def __init__(self, bench: Bench) -> None:
        self.datasets = bench.datasets
        self.trainer = bench.trainer
        self.jobs = 0

    def plan(self, series: list[np.ndarray], **request: Any) -> TrainingPlan:
        ids = tuple(str(i) for i in range(len(series)))
        panel = Panel(ids, tuple(series), (None,) * len(series), "MS")
        data = PanelData("series", self.datasets.keep(panel), panel.digest(), len(series), panel.n_points, "MS")
        small = SMALL if request["architecture"] not in ("ridge", "theta") else {}
        return make_training_plan({**small, "horizon": 6, **request}, data, np.array([len(one) for one in series]))

    def train(self, series: list[np.ndarray], **request: Any) -> Manifest:
        plan = self.plan(series, **request)
        self.jobs += 1
        result = self.trainer.train(plan, Recorder(f"job-{self.jobs}"))
        return self.catalog().resolve(plan.name, result["version"])

    def fit(self, plan: TrainingPlan) -> TrainingResult:
        """What would be published, in a fraction of the time."""
        run = Recorder("never")
        values = read_panel(self.datasets.load(plan.recipes[0].to_dict()["data"]["id"]))
        return train_on_panel(plan, values, self.catalog(), Fits(run.raise_if_stopped), ProgressReporter(plan, run))

    def catalog(self) -> Catalog:
        catalog = Catalog(self.trainer.store.root)
        catalog.refresh()
        return catalog

    def load(self, manifest: Manifest) -> Any:
        return tf.saved_model.load(str(self.catalog().folder(manifest)))


@pytest.fixture(scope="module")
def workshop(bench: Bench) -> Workshop:
    return Workshop(bench)


def forecast(loaded: Any, rows: list[np.ndarray], horizon: int) -> np.ndarray:
    padded = np.full((len(rows), max(map(len, rows)), 1), np.nan, np.float32)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row), 0] = row
    answer = loaded.signatures["rollout"](
        series=tf.constant(padded),
        lengths=tf.constant([len(row) for row in rows], tf.int32),
        horizon=tf.constant(horizon, tf.int32),
    )
    return np.asarray(answer["forecast"].numpy())


@pytest.mark.parametrize(
    "request_",
    [
        {"architecture": "theta_mlp"},
        {"architecture": "linear", "difference": "seasonal", "scaling": "standard"},
        *(
            pytest.param(request, marks=pytest.mark.exhaustive)
            for request in (
                {
                    "architecture": "conv_gru",
                    "units": 4,
                    "layers": 1,
                    "difference": "first",
                    "scaling": "robust",
                    "log": True,
                },
                {"architecture": "wavenet", "units": 4, "layers": 1, "scaling": "robust", "log": True},
                {"architecture": "mlp"},
                {"architecture": "ridge"},
                {"architecture": "theta"},
                {"architecture": "lstm", "units": 4, "layers": 1},
                {"architecture": "deep_rnn", "units": 4, "layers": 1},
                {"architecture": "encoder_decoder", "units": 4, "head": "vector"},
            )
        ),
    ],
    ids=lambda request: request["architecture"],
)
def test_a_version_says_what_it_learnt_from_and_what_it_is_worth(workshop: Workshop, request_: dict[str, Any]) -> None:
    series = monthly()
    manifest = workshop.train(series, name=f"whole-{request_['architecture']}", **request_)
    assert manifest.data["n_series"] == 30
    assert (manifest.data["freq"], manifest.data["season"]) == ("MS", 12)
    for part in ("validation", "test"):
        for scores in (manifest.metrics[part], manifest.metrics["baselines"]["seasonal_naive"][part]):
            assert scores["mase"] > 0
            assert len(scores["by_step"]["mse"]) == 6
    assert set(manifest.metrics["baselines"]) == {"naive", "seasonal_naive", "linear"}
    assert set(manifest.metrics["test"]["coverage"]) == {"80", "95"}
    assert manifest.calibration is not None
    assert len(manifest.calibration["residuals"]) == 6
    assert all(np.all(np.diff(step) >= 0) for step in manifest.calibration["residuals"])
    loaded = workshop.load(manifest)
    rows = [series[0], series[1][-manifest.min_length :], series[2][-max(30, manifest.min_length) :]]
    together = forecast(loaded, rows, 20)
    for row, answer in zip(rows, together, strict=True):
        alone = forecast(loaded, [row], 20)[0]
        assert np.abs(alone - answer).max() <= 1e-4 * np.maximum(np.abs(alone).max(), row.std())
        assert 0.2 * row.mean() < answer.mean() < 5 * row.mean()


def test_an_ensemble_forecasts_the_mean_of_its_members(workshop: Workshop) -> None:
    result = workshop.fit(workshop.plan(monthly(), architecture="mlp", ensemble={"members": 2}, refit=False))
    members = result.recipe.members
    assert [member.seed for member in members] == [42, 43]
    inputs = np.stack([one[-40:] for one in monthly(4, seed=3)])
    answers = [
        Forecaster(member, [network]).forecast(inputs, 6)
        for member, network in zip(members, result.networks, strict=True)
    ]
    together = Forecaster(result.recipe, result.networks).forecast(inputs, 6)
    assert np.allclose(together, np.mean(answers, axis=0), rtol=1e-5)
    assert np.abs(answers[0] - answers[1]).max() > 1e-4 * np.abs(answers[0]).max()


def candidates(caplog: pytest.LogCaptureFixture) -> list[tuple[str, float]]:
    """What was tried: architectures and how they validated."""
    told = [record.args for record in caplog.records if "validates at" in record.msg]
    caplog.clear()
    return [(str(args[0]), float(str(args[1]))) for args in told if isinstance(args, tuple)]


@pytest.mark.parametrize("n_recipes", [5, pytest.param(None, marks=pytest.mark.exhaustive)])
def test_auto_publishes_what_validates_best_and_says_of_what_it_is_made(
    workshop: Workshop, caplog: pytest.LogCaptureFixture, n_recipes: int | None
) -> None:
    plan = workshop.plan(monthly(), architecture="auto", name="best", max_seconds=3600)
    plan = replace(plan, recipes=plan.recipes[:n_recipes])
    with caplog.at_level(logging.INFO, "service.training"):
        result = workshop.fit(plan)
    tried = candidates(caplog)
    assert [architecture for architecture, _ in tried] == [recipe.architecture for recipe in plan.recipes]
    # All begin together, and stay where no one alone is better by more than luck.
    assert result.metrics["validation"]["mase"] <= min(loss for _, loss in tried) * 1.1
    members = result.recipe.members or (result.recipe,)
    made_of = {(member.architecture, member.window, member.scaling, member.seed) for member in members}
    assert len(made_of) == len(members)
    assert {architecture for architecture, *_ in made_of} <= {architecture for architecture, _ in tried}
    assert result.recipe.longest_window == max(member.window for member in members)


def test_what_validates_badly_has_little_say_in_what_is_published(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    (theta,) = workshop.plan(monthly(), architecture="theta").recipes
    (untrained,) = workshop.plan(
        monthly(), architecture="linear", scaling="standard", learning_rate=1e-9, epochs=1, window=24
    ).recipes
    plan = TrainingPlan("best", (untrained, theta), 3600.0)
    with caplog.at_level(logging.INFO, "service.training"):
        result = workshop.fit(plan)
    tried = dict(candidates(caplog))
    assert tried["theta"] < 0.5 * tried["linear"]
    assert result.metrics["validation"]["mase"] < 1.1 * tried["theta"]
    members = result.recipe.members or (result.recipe,)
    shares = dict(zip([member.architecture for member in members], weight_shares(members), strict=True))
    assert shares["theta"] > 0.75


@pytest.mark.parametrize("architecture", ["auto", pytest.param("flagship", marks=pytest.mark.exhaustive)])
def test_no_fit_begins_that_would_take_more_seconds_than_are_left(
    workshop: Workshop, caplog: pytest.LogCaptureFixture, architecture: str
) -> None:
    plan = workshop.plan(monthly(12), architecture=architecture, name="brief", max_seconds=1e-3, epochs=3)
    assert len(plan.recipes) > 5
    with caplog.at_level(logging.INFO, "service.training"):
        result = workshop.fit(plan)
    # The first in any case; and Theta, which takes no time to speak of.
    tried = [name for name, _ in candidates(caplog)]
    assert tried == [plan.recipes[0].architecture, "theta"]
    assert {member.architecture for member in result.recipe.members or (result.recipe,)} <= set(tried)


def test_a_fit_ends_with_the_epoch_in_which_its_seconds_are_over(workshop: Workshop) -> None:
    request = {"architecture": "mlp", "epochs": 5, "refit": False}
    for max_seconds, n_epochs in ((1e-3, 1), (3600.0, 5)):
        result = workshop.fit(workshop.plan(monthly(12), **request, max_seconds=max_seconds))
        assert result.epochs_run == n_epochs


def test_test_values_reach_neither_scores_of_validation_nor_what_was_measured(workshop: Workshop) -> None:
    series = monthly()
    changed = [np.concatenate([one[:-6], 3 * one[-6:]]) for one in series]
    first, second = (
        workshop.fit(workshop.plan(one, architecture="gru", units=4, layers=1, refit=False))
        for one in (series, changed)
    )
    assert first.metrics["validation"] == second.metrics["validation"]
    assert first.metrics["test"] != second.metrics["test"]
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, second.weights, strict=True))


def test_the_same_request_gives_the_same_model_and_another_seed_another(workshop: Workshop) -> None:
    first, second, other = (workshop.fit(workshop.plan(monthly(), architecture="mlp", seed=seed)) for seed in (1, 1, 2))
    assert first.metrics == second.metrics != other.metrics
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, second.weights, strict=True))


def test_the_gate_lets_the_better_pass_and_keeps_the_worse_with_a_reason(workshop: Workshop) -> None:
    series = monthly(60)
    good = workshop.train(series, architecture="mlp", name="gated", epochs=10)
    assert good.gate is not None
    assert good.gate["passed"], good.gate
    assert good.gate["scores"]["candidate"] < good.gate["scores"]["seasonal_naive"]
    assert workshop.catalog().model("gated").aliases == {"champion": 1}
    assert (workshop.catalog().folder(good) / MEASURED).exists()
    worse = workshop.train(series, architecture="lstm", units=1, layers=1, name="gated", epochs=1)
    assert worse.gate is not None
    assert not worse.gate["passed"]
    assert "champion" in worse.gate["reason"]
    # On the same windows the champion scores what it scored when it was measured.
    assert worse.gate["scores"]["champion"] == pytest.approx(good.gate["scores"]["candidate"], rel=1e-4)
    entry = workshop.catalog().model("gated")
    assert entry.aliases == {"champion": 1}
    assert entry.current is not None
    assert entry.current.version == 1


def test_a_damaged_champion_is_replaced_and_stands_in_no_way(workshop: Workshop) -> None:
    first = workshop.train(monthly(), architecture="ridge", name="mended")
    assert first.gate is not None
    assert first.gate["passed"]
    (workshop.catalog().folder(first) / "saved_model.pb").write_bytes(b"x")
    second = workshop.train(monthly(), architecture="ridge", name="mended", seed=7)
    assert second.gate is not None
    assert (second.gate["passed"], second.gate["scores"]["champion"]) == (True, None)
    (workshop.catalog().folder(second) / "manifest.json").write_text("{")
    third = workshop.train(monthly(), architecture="ridge", name="mended", seed=8)
    assert workshop.catalog().model("mended").aliases == {"champion": third.version} == {"champion": 3}


def test_what_does_not_beat_seasonal_naive_is_no_champion(workshop: Workshop) -> None:
    noise = [np.random.default_rng(i).standard_normal(80).cumsum() for i in range(8)]
    walk = workshop.train(noise, architecture="gru", name="walk", units=1, layers=1, learning_rate=10.0, refit=False)
    assert walk.gate is not None
    assert not walk.gate["passed"]
    assert "seasonal naive" in walk.gate["reason"]
    assert workshop.catalog().model("walk").current is None


def test_a_baseline_is_scored_and_skips_the_gate(workshop: Workshop) -> None:
    unfitted = {"epochs": None, "max_windows": None, "batch_size": None}
    result = workshop.fit(workshop.plan(monthly(), architecture="naive", **unfitted))
    assert result.gate is None
    assert result.metrics["test"]["mase"] == pytest.approx(result.metrics["baselines"]["naive"]["test"]["mase"])
    assert result.calibration is not None


def test_a_single_series_is_enough_and_has_intervals(workshop: Workshop) -> None:
    result = workshop.fit(workshop.plan([monthly(1, 300)[0]], architecture="mlp"))
    assert result.calibration is not None
    assert result.calibration["part"] == "validation"
    assert len(result.calibration["residuals"][0]) >= 19


def test_series_that_are_too_short_are_left_out_and_when_all_are_it_is_said(workshop: Workshop) -> None:
    series = [*monthly(), np.array([1.0, 2.0]), np.full(50, np.nan)]
    assert workshop.fit(workshop.plan(series, architecture="ridge")).data["n_series"] == 32
    with pytest.raises(InvalidRequest) as caught:
        workshop.plan([np.arange(10.0)], architecture="mlp")
    assert caught.value.flaws[0].code == "series_too_short"
    with pytest.raises(TrainingFailed, match="number"):
        workshop.fit(workshop.plan([np.full(80, np.nan)], architecture="mlp"))


def fits_with(
    errors: list[float], n_series: int, kinds: tuple[str, ...] = ("mlp",)
) -> tuple[list[Fitted], PreparedPanel]:
    """Fits whose validation forecasts are wrong by independent errors of these sizes; the last kind goes on."""
    series = monthly(n_series)
    lengths = np.array([len(one) for one in series])
    data = PanelData("series", "kept", "digest", n_series, int(lengths.sum()), "MS")
    recipe = make_training_plan({"architecture": "mlp", "horizon": 6}, data, lengths).recipes[0]
    prepared = prepare_panel(series, recipe, "interpolate")
    windows = prepared.validation
    rng = np.random.default_rng(4)
    noise = rng.standard_normal((len(errors), *windows.actual.shape)) * windows.scale[:, None]
    fits = [
        Fitted(
            replace(recipe, seed=i, architecture=kinds[min(i, len(kinds) - 1)]),
            [],
            [],
            windows.actual + error * own,
            1.0,
        )
        for i, (error, own) in enumerate(zip(errors, noise, strict=True))
    ]
    return fits, prepared


@pytest.mark.parametrize(
    ("errors", "n_series", "stay"),
    [
        ([1.0, 1.0, 1.0], 100, [0, 1, 2]),
        ([1.0, 1.0, 9.0], 100, [0, 1]),
        ([0.1, 9.0, 9.0], 100, [0]),
        # Of one series the difference may be luck.
        ([1.0, 1.0, 2.0], 1, [0, 1, 2]),
        ([1.0, 1.0, 2.3], 100, [0, 1]),
    ],
)
def test_a_member_leaves_where_that_gains_more_than_luck(errors: list[float], n_series: int, stay: list[int]) -> None:
    chosen = choose_fits(*fits_with(errors, n_series), "best").recipe
    assert [member.seed for member in chosen.members or (chosen,)] == stay


@pytest.mark.parametrize(
    ("errors", "n_series", "stay"),
    [
        ([1.0, 1.0, 1.0], 2000, [0, 1, 2]),
        ([1.0, 1.0, 6.0], 2000, [0, 1]),
        # Of so few series, a small loss in validation may be luck.
        ([1.0, 1.0, 1.25], 1, [0, 1, 2]),
        ([1.0, 1.0, 5.0], 1, [0, 1]),
    ],
)
def test_another_architecture_joins_where_it_helps(errors: list[float], n_series: int, stay: list[int]) -> None:
    chosen = choose_fits(*fits_with(errors, n_series, ("mlp", "mlp", "ridge")), "best").recipe
    assert [member.seed for member in chosen.members] == stay


def test_the_weight_of_a_kind_is_the_inverse_square_of_its_error_as_far_as_it_is_known() -> None:
    kinds = ("theta", "mlp", "mlp", "mlp", "theta_mlp")
    sizes = [1.0, *[3**0.5] * 3, *[1.333 * 2**0.5] * 2]
    # Together the three err as much as one, and the two by a third more.
    known = [0.39, *[0.39 / 3] * 3, *[0.22 / 2] * 2]
    for n_series in (2000, 1):
        fits, prepared = fits_with(sizes, n_series, kinds)
        chosen = choose_fits(fits, prepared, "best")
        weights = weight_shares(chosen.recipe.members)
        assert np.allclose(chosen.validation, np.average([one.validation for one in fits], axis=0, weights=weights))
        if n_series > 1:
            assert weights == pytest.approx(known, abs=0.01)
        else:
            # What few horizons say may be luck.
            errors = [np.abs(one.validation - prepared.validation.actual).mean() for one in fits[::5]]
            assert 1 < weights[0] / (2 * weights[5]) < (errors[1] / errors[0]) ** 2


def test_a_kind_leaves_as_a_whole() -> None:
    kinds = ("theta", "mlp", "mlp", "mlp", "theta_mlp")
    fits, prepared = fits_with([0.1] * 6, 200, kinds)
    # All are wrong in the same direction, the three by twice as much.
    for one in fits:
        one.validation[:] += (2.0 if one.recipe.architecture == "mlp" else 1.0) * prepared.validation.scale[:, None]
    chosen = choose_fits(fits, prepared, "best")
    assert {member.architecture for member in chosen.recipe.members} == {"theta", "theta_mlp"}
