"""Whether a new version becomes the champion: no worse than seasonal naive, and better than the present champion."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.domain.normalization import find_equivariance, normalize
from service.domain.panel_windows import Positions
from service.domain.recipes.recipe import Recipe
from service.errors import ModelNotFound, VersionDamaged
from service.store.catalog import Catalog
from service.store.manifest import Manifest
from service.training.data.panel_split import PreparedPanel
from service.training.export.serving_graph import make_serving_graph
from service.training.panel_fit import Fitted, forecast_seasonally
from service.training.window_scores import Metric, choose_metric, measure_windows, summarize

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

# The weights that a version's metrics belong to, where its fit went on with all points afterwards: with them a later
# challenger on the same data meets it as it was before it had seen the windows that both are judged by.
MEASURED = "assets.extra/measured.npz"
CHUNK = 500
# Of so many series one is left out at either end, if there are enough to do so.
TRIMMED = 20
FEWEST_TRIMMED = 10
# Of the standard deviation of a series' last seasons: errors below are those of 32-bit arithmetic, or of a network that
# learnt what repeats itself exactly, and no reason to serve nothing. A long trend would make any error small.
NEGLIGIBLE = 5e-3
SEASONS = 3
FEWEST_POINTS = 24
# Of an error: a champion that was trained the same way again, and forecasts by another program, errs by less than this
# more or less. To be better by less is to be the same.
ROUNDING = 1e-4


class Comparison(NamedTuple):
    """Two forecasts' mean errors, and how many series were left out of them for both."""

    candidate: float
    rival: float
    n_left_out: int


def judge(name: str, fitted: Fitted, prepared: PreparedPanel, season: int, catalog: Catalog) -> dict[str, Any]:
    """The gate's verdict.

    Returns:
        `{"passed", "reason", "scores": {"metric", "candidate", "seasonal_naive", "champion", "champion_version",
        "left_out"}}`; the champion's are None where there is none.
    """
    windows = prepared.validation
    metric = choose_metric(prepared)
    own = _errors(prepared, fitted.validation, metric)
    rival = _errors(prepared, forecast_seasonally(prepared, windows, season), metric)
    naive = compare(own, rival, windows.series, metric)
    champion = _champion(name, catalog)
    scores: dict[str, Any] = {
        "metric": metric,
        "candidate": naive.candidate,
        "seasonal_naive": naive.rival,
        "champion": None,
        "champion_version": None if champion is None else champion.version,
        "left_out": naive.n_left_out,
    }
    reasons = []
    if naive.candidate > naive.rival:
        reasons.append(f"its {metric} of {naive.candidate:.4g} is above seasonal naive's {naive.rival:.4g}")
    if champion is not None:
        theirs = _errors(prepared, _forecast(champion, catalog, prepared), metric)
        # On the windows that the champion can read.
        if (~np.isnan(theirs)).any():
            crowned = compare(own, theirs, windows.series, metric)
            scores["champion"] = crowned.rival
            if not beats(crowned.candidate, crowned.rival):
                reasons.append(
                    f"its {metric} of {crowned.candidate:.4g} is not below the {crowned.rival:.4g} of the champion, "
                    f"version {champion.version}"
                )
    passed = not reasons
    if passed:
        reason = "It is no worse than seasonal naive" + (
            "." if scores["champion"] is None else ", and beats the champion."
        )
    else:
        reason = f"On the validation windows {' and '.join(reasons)}."
    if naive.n_left_out:
        reason += f" Without the {naive.n_left_out} series at either end, which would have decided for all others."
    return {"passed": passed, "reason": reason, "scores": scores}


def compare(candidate: Array, rival: Array, series: Positions, metric: Metric) -> Comparison:
    """Two forecasts' mean errors over the windows that both have.

    Of many series a few can't decide alone: where the mean says one thing, and the mean without those in which the
    errors differ most says another, the latter counts (a trimmed mean of paired differences).

    Args:
        candidate, rival: [n], NaN where there is none; at least one window has both.
        series: [n], whose window each is.
    """
    both = ~np.isnan(candidate) & ~np.isnan(rival)
    candidate, rival, series = candidate[both], rival[both], series[both]
    whole = Comparison(summarize(candidate, metric), summarize(rival, metric), 0)
    _, own, counts = np.unique(series, return_inverse=True, return_counts=True)
    n_trimmed = -(-len(counts) // TRIMMED) if len(counts) >= FEWEST_TRIMMED else 0
    if not n_trimmed:
        return whole
    differences = np.bincount(own, candidate - rival) / counts
    kept = np.isin(own, np.argsort(differences, kind="stable")[n_trimmed:-n_trimmed])
    trimmed = Comparison(summarize(candidate[kept], metric), summarize(rival[kept], metric), 2 * n_trimmed)
    agree = (whole.candidate <= whole.rival) == (trimmed.candidate <= trimmed.rival)
    return whole if agree else trimmed


def beats(candidate: float, champion: float) -> bool:
    """Whether a mean error is better than the champion's by more than rounding."""
    # Who errs by nothing can't be beaten, only joined.
    return candidate < (1 - ROUNDING) * champion or candidate == 0


def _errors(prepared: PreparedPanel, forecasts: Array, metric: Metric) -> Array:
    """Each validation window's error beyond what is negligible: [n]."""
    windows = prepared.validation
    recent = max(SEASONS * prepared.season, FEWEST_POINTS)
    movements = [
        float(prepared.rows.history(int(i), int(end))[-recent:].std())
        for i, end in zip(windows.series, windows.ends, strict=True)
    ]
    errors = measure_windows(windows, forecasts, metric, tolerated=NEGLIGIBLE * np.array(movements))
    return np.where(np.isnan(forecasts).any(axis=1), np.nan, errors)


def save_measured(folder: Path, weights: list[NDArray[np.float32]]) -> None:
    """Puts the weights that a version's metrics belong to into its staged folder."""
    path = folder / MEASURED
    path.parent.mkdir(exist_ok=True)
    np.savez(path, *weights)


def _champion(name: str, catalog: Catalog) -> Manifest | None:
    """The present champion, if its files are whole: one that is damaged can't be compared with, only replaced."""
    try:
        champion = catalog.model(name).current
        if champion is not None:
            catalog.verify(champion)
    except ModelNotFound:
        return None
    except VersionDamaged as error:
        logger.warning("%s A new version of %r is not compared with it.", error.message, name)
        return None
    return champion


def _forecast(champion: Manifest, catalog: Catalog, prepared: PreparedPanel) -> Array:
    """The champion's forecasts of the validation windows [n, horizon], NaN where one is too short for it."""
    windows = prepared.validation
    rollout = _load(champion, catalog.folder(champion))
    window = champion.window if not champion.reads_whole_series else int(windows.ends.max())
    equivariance = find_equivariance(champion.hyper_parameters)
    answers = np.full(windows.actual.shape, np.nan)
    usable = np.flatnonzero(windows.ends >= champion.min_length)
    for i in range(0, len(usable), CHUNK):
        rows = usable[i : i + CHUNK]
        inputs = prepared.rows.inputs(windows.series[rows], windows.ends[rows], window)
        lengths = np.minimum(windows.ends[rows], window)
        normalized, reference = normalize(inputs, lengths, equivariance)
        forecasts = rollout(
            series=tf.constant(normalized[:, :, None]),
            lengths=tf.constant(lengths, tf.int32),
            horizon=tf.constant(prepared.horizon, tf.int32),
        )["forecast"].numpy()
        answers[rows] = forecasts if reference is None else reference.restore(forecasts)
    return answers


def _load(champion: Manifest, folder: Path) -> Any:
    measured = folder / MEASURED
    if not measured.exists():
        loaded = tf.saved_model.load(str(folder))
        return lambda **inputs: loaded.signatures["rollout"](**inputs)
    with np.load(measured) as archive:
        weights = [archive[f"arr_{i}"] for i in range(len(archive.files))]
    graph = make_serving_graph(Recipe.from_dict(champion.hyper_parameters), weights)
    # Its functions hold it weakly: the call must keep it alive.
    return lambda **inputs: graph.rollout(**inputs)
