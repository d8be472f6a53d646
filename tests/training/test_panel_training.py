"""Series of one's own, from the plan to published versions, with the real exporting process."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from service.datasets.store import DatasetStore
from service.domain.panel import Panel
from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.recipe import PanelData, weight_shares
from service.domain.recipes.training_plan import TrainingPlan
from service.errors import InvalidRequest, TrainingFailed
from service.store.catalog import Catalog
from service.store.manifest import Manifest
from service.training.data.panel_split import PreparedPanel, prepare_panel
from service.training.panel_fit import Fitted
from service.training.panel_training import choose_fits
from service.training.promotion import MEASURED
from service.training.trainer import Trainer
from tests.training.test_trainer import Recorder

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
    """A store, the data sets beside it, and a trainer."""

    def __init__(self, folder: Any) -> None:
        self.datasets = DatasetStore(folder / "datasets")
        self.trainer = Trainer(folder / "store", self.datasets.load)
        self.jobs = 0

    def plan(self, series: list[np.ndarray], **request: Any) -> TrainingPlan:
        ids = tuple(str(i) for i in range(len(series)))
        panel = Panel(ids, tuple(series), (None,) * len(series), "MS")
        data = PanelData("series", self.datasets.keep(panel), panel.digest(), len(series), panel.n_points, "MS")
        small = SMALL if request["architecture"] not in ("ridge", "theta") else {}
        return make_training_plan({**small, "horizon": 6, **request}, data, np.array([len(one) for one in series]))

    def train(self, series: list[np.ndarray], **request: Any) -> Manifest:
        self.jobs += 1
        made = self.plan(series, **request)
        result = self.trainer.train(made, Recorder(f"job-{self.jobs}"))
        return self.catalog().resolve(made.name, result["version"])

    def catalog(self) -> Catalog:
        catalog = Catalog(self.trainer.store_root)
        catalog.refresh()
        return catalog

    def load(self, manifest: Manifest) -> Any:
        return tf.saved_model.load(str(self.catalog().folder(manifest)))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    one = Workshop(tmp_path_factory.mktemp("workshop"))
    yield one
    one.trainer.close()


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
        {"architecture": "mlp"},
        {"architecture": "ridge"},
        {"architecture": "theta"},
        {"architecture": "theta_mlp"},
        {"architecture": "lstm", "units": 4, "layers": 1},
        {"architecture": "deep_rnn", "units": 4, "layers": 1},
        {"architecture": "conv_gru", "units": 4, "layers": 1, "difference": "first", "scaling": "mean"},
        {"architecture": "wavenet", "units": 4, "layers": 1, "scaling": "robust", "log": True},
        {"architecture": "encoder_decoder", "units": 4, "head": "vector"},
        {"architecture": "linear", "difference": "seasonal", "scaling": "standard"},
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
    manifest = workshop.train(monthly(), architecture="mlp", name="three", ensemble={"members": 3}, refit=False)
    members = manifest.hyper_parameters["members"]
    assert [member["seed"] for member in members] == [42, 43, 44]
    loaded = workshop.load(manifest)
    rows = [one[-40:] for one in monthly(4, seed=3)]
    inputs = {"series": tf.constant(np.stack(rows)[:, :, None], tf.float32), "lengths": tf.fill([4], 40)}
    answers = [member.forecast_ragged(**inputs)["forecast"].numpy() for member in loaded.members]
    assert np.allclose(forecast(loaded, rows, 6), np.mean(answers, axis=0), rtol=1e-5)
    assert np.abs(answers[0] - answers[1]).max() > 1e-4 * np.abs(answers[0]).max()


# Sixteen fits.
@pytest.mark.timeout(900)
def test_auto_publishes_what_validates_best_and_says_of_what_it_is_made(workshop: Workshop) -> None:
    manifest = workshop.train(monthly(), architecture="auto", name="best")
    members = manifest.hyper_parameters["members"] or [manifest.hyper_parameters]
    made_of = {tuple(member[key] for key in ("architecture", "window", "scaling", "seed")) for member in members}
    assert len(made_of) == len(members)
    assert {architecture for architecture, *_ in made_of} <= {"mlp", "ridge", "theta", "theta_mlp"}
    assert manifest.window == max(member["window"] for member in members)
    quick = workshop.train(monthly(), architecture="auto", name="quick", max_seconds=0.01)
    # Theta takes no time to speak of.
    assert {member["architecture"] for member in quick.hyper_parameters["members"]} <= {"mlp", "theta"}


@pytest.mark.timeout(900)
def test_the_flagship_keeps_to_the_seconds_that_it_is_given(workshop: Workshop) -> None:
    request = {"epochs": None, "max_windows": None, "batch_size": None}
    manifest = workshop.train(monthly(12), architecture="flagship", name="brief", max_seconds=1.5, **request)
    assert "theta" in {member["architecture"] for member in manifest.hyper_parameters["members"]}
    assert manifest.architecture != "theta"


def test_test_values_reach_neither_scores_of_validation_nor_what_was_measured(workshop: Workshop) -> None:
    series = monthly()
    changed = [np.concatenate([one[:-6], 3 * one[-6:]]) for one in series]
    first, second = (
        workshop.train(one, architecture="gru", units=4, layers=1, name="blind", refit=False)
        for one in (series, changed)
    )
    assert first.metrics["validation"] == second.metrics["validation"]
    assert first.metrics["test"] != second.metrics["test"]
    rows = [one[:-6] for one in series]
    assert np.array_equal(forecast(workshop.load(first), rows, 6), forecast(workshop.load(second), rows, 6))


@pytest.mark.timeout(600)
def test_the_same_request_gives_the_same_model(workshop: Workshop) -> None:
    first, second = (workshop.train(monthly(), architecture="mlp", name="twice") for _ in range(2))
    rows = monthly(3, seed=8)
    assert np.array_equal(forecast(workshop.load(first), rows, 9), forecast(workshop.load(second), rows, 9))


@pytest.mark.timeout(600)
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
    manifest = workshop.train(monthly(), architecture="naive", name="baseline", **unfitted)
    assert manifest.gate is None
    assert manifest.metrics["test"]["mase"] == pytest.approx(manifest.metrics["baselines"]["naive"]["test"]["mase"])
    assert manifest.calibration is not None


def test_a_single_series_is_enough_and_has_intervals(workshop: Workshop) -> None:
    manifest = workshop.train([monthly(1, 300)[0]], architecture="mlp", name="alone")
    assert manifest.calibration is not None
    assert manifest.calibration["part"] == "validation"
    assert len(manifest.calibration["residuals"][0]) >= 19


def test_series_that_are_too_short_are_left_out_and_when_all_are_it_is_said(workshop: Workshop) -> None:
    series = [*monthly(), np.array([1.0, 2.0]), np.full(50, np.nan)]
    assert workshop.train(series, architecture="mlp", name="mixed").data["n_series"] == 32
    with pytest.raises(InvalidRequest) as caught:
        workshop.plan([np.arange(10.0)], architecture="mlp")
    assert caught.value.flaws[0].code == "series_too_short"
    with pytest.raises(TrainingFailed, match="number"):
        workshop.train([np.full(80, np.nan)], architecture="mlp", name="none")


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
