"""Pretraining, in small: series as they should be, a combiner that learns, and a version that can be served."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pretraining.calibration import measure_ratios, to_residuals
from pretraining.examples import STEPS, Examples, draw_examples, make_examples
from pretraining.export import export, export_again
from pretraining.fit import apply, fit
from pretraining.shapes import season
from pretraining.synthetic import FAMILIES, Family, draw_series
from service.domain.season_detection import detect_seasons
from service.domain.seasons import Seasons
from service.networks.zero_shot import N_FEATURES, Combiner
from service.store.manifest import Manifest
from service.store.pretrained import publish_pretrained


@pytest.fixture(scope="module")
def examples() -> Examples:
    return draw_examples(1, 1000)


@pytest.mark.parametrize("family", [family for family, _ in FAMILIES], ids=lambda family: family.__name__)
@pytest.mark.parametrize("seasons", [Seasons(1), Seasons(12), Seasons(24, 168)])
def test_every_family_draws_finite_series_that_move(family: Family, seasons: Seasons) -> None:
    series = family(np.random.default_rng(0), 40, 200, seasons)
    assert series.shape == (40, 200)
    assert np.isfinite(series).all()
    assert np.median(series.std(axis=1)) > 0
    assert np.abs(series).max() < 1e9


def test_the_same_seed_draws_the_same_series_and_trials() -> None:
    one, other = (draw_series(np.random.default_rng(3), 30, 60, Seasons(12), 6) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    for left, right in zip(draw_examples(5, 500), draw_examples(5, 500), strict=True):
        np.testing.assert_array_equal(left, right)


def test_seasons_repeat() -> None:
    drawn = season(np.random.default_rng(0), 30, 24 * 7 * 4, Seasons(24))
    found = [detect_seasons(one)[0] for one in drawn]
    assert np.mean([24 % one == 0 and one > 1 for one in found]) > 0.8


def test_trials_hold_what_followed_the_past() -> None:
    future = np.array([[5.0, 6.0, 7.0], [1.0, 1.0, 1.0]])
    past = np.array([[1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 0.0, 0.0]])
    made = make_examples(past, np.array([4, 2]), future, Seasons(1))
    np.testing.assert_allclose(made.targets[:, :3], future / np.array([[2.5], [2.0]]))
    np.testing.assert_array_equal(made.is_step[0], [1.0] * 3 + [0.0] * (STEPS - 3))
    assert made.features.shape == (2, N_FEATURES)


def error(examples: Examples, combiner: Combiner) -> float:
    missed = np.abs(examples.targets - np.asarray(apply(combiner, examples).forecast)) / examples.unit[:, None]
    return float(np.minimum(missed, 5)[examples.is_step > 0].mean())


@pytest.fixture(scope="module")
def combiner(examples: Examples) -> Combiner:
    return fit(examples, steps=60, seed=0)


def test_a_gate_learns_and_with_the_same_seed_the_same(examples: Examples, combiner: Combiner) -> None:
    first, again = (fit(examples, steps=1, seed=0) for _ in range(2))
    assert error(examples, combiner) < error(examples, first)
    np.testing.assert_array_equal(first.layers[0][0], again.layers[0][0])


class Package(NamedTuple):
    folder: Path
    manifest: Manifest


@pytest.fixture(scope="module")
def package(examples: Examples, combiner: Combiner, tmp_path_factory: pytest.TempPathFactory) -> Package:
    residuals = to_residuals([measure_ratios(combiner, examples)])
    folder = tmp_path_factory.mktemp("package") / "zero-shot"
    folder.mkdir()
    facts = {"data": {"kind": "synthetic"}, "metrics": {}, "epochs_run": 0, "seconds": 0.0}
    return Package(folder, export(combiner, folder, residuals=residuals, factors=[1, 1, 1], facts=facts, seed=0))


def test_residuals_cover_as_they_say(examples: Examples, combiner: Combiner) -> None:
    ratios = measure_ratios(combiner, examples)
    residuals = to_residuals([ratios])
    assert residuals == sorted(residuals)
    assert np.mean(ratios <= np.quantile(residuals, 0.8)) == pytest.approx(0.8, abs=0.02)


def test_a_combiner_is_served_like_the_shipped_one(package: Package, tmp_path: Path) -> None:
    folder, manifest = package
    assert manifest.engines["onnx"]["difference"] < 1e-4
    assert Manifest.from_json((folder / "manifest.json").read_bytes()).parameters == manifest.parameters
    [published] = publish_pretrained(tmp_path / "store", folder.parent)
    assert published.version == 1


@pytest.mark.exhaustive  # It takes ten seconds; tests/engines/test_shipped_zero_shot.py watches over what ships.
def test_what_is_exported_again_is_the_same(package: Package, tmp_path: Path) -> None:
    assert replace(export_again(package.folder, tmp_path), created_at="") == replace(package.manifest, created_at="")
