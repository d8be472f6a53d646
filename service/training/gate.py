"""Whether a new version becomes the champion: it must beat the present one and seasonal naive on the same windows."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.domain.metrics import score
from service.domain.recipe import Recipe
from service.errors import ModelNotFound
from service.store.catalog import Catalog
from service.store.manifest import Manifest
from service.training.graph import make_serving_graph
from service.training.own_series import Fitted
from service.training.panel import PreparedPanel

Array = NDArray[np.float64]

# The weights that a version's metrics belong to, where its fit went on with all points afterwards: with them a later
# challenger on the same data meets it as it was before it had seen the windows that both are judged by.
MEASURED = "assets.extra/measured.npz"
CHUNK = 500


def judge(
    name: str, fitted: Fitted, prepared: PreparedPanel, baselines: dict[str, Any], catalog: Catalog
) -> dict[str, Any]:
    """The gate's verdict.

    Returns:
        `{"passed", "reason", "scores": {"metric", "candidate", "seasonal_naive", "champion", "champion_version"}}`; the
        champion's are None where there is none.
    """
    windows = prepared.validation
    scores = score(windows.actual, fitted.validation, windows.scale)
    metric = "mase" if scores["mase"] is not None else "mae"
    candidate, naive = scores[metric], baselines["seasonal_naive"]["validation"][metric]
    champion = _champion(name, catalog)
    found: dict[str, Any] = {
        "metric": metric,
        "candidate": candidate,
        "seasonal_naive": naive,
        "champion": None,
        "champion_version": None if champion is None else champion.version,
    }
    reasons = (
        [] if candidate < naive else [f"its {metric} of {candidate:.4g} is not below seasonal naive's {naive:.4g}"]
    )
    if champion is not None:
        theirs = _forecast(champion, catalog, prepared)
        readable = np.isfinite(theirs).all(axis=1)
        if readable.any():
            # On the windows that the champion can read.
            part = windows.actual[readable], windows.scale[readable]
            found["champion"] = score(part[0], theirs[readable], part[1])[metric]
            own = score(part[0], fitted.validation[readable], part[1])[metric]
            if own is None or found["champion"] is None or not own < found["champion"]:
                reasons.append(
                    f"its {metric} of {_show(own)} is not below the {_show(found['champion'])} of the champion, "
                    f"version {champion.version}"
                )
    passed = not reasons
    reason = "It beats seasonal naive" + (" and the champion." if found["champion"] is not None else ".")
    if not passed:
        reason = f"On the validation windows {' and '.join(reasons)}."
    return {"passed": passed, "reason": reason, "scores": found}


def save_measured(folder: Path, weights: list[NDArray[np.float32]]) -> None:
    """Puts the weights that a version's metrics belong to into its staged folder."""
    path = folder / MEASURED
    path.parent.mkdir(exist_ok=True)
    np.savez(path, *weights)


def _champion(name: str, catalog: Catalog) -> Manifest | None:
    try:
        return catalog.model(name).current
    except ModelNotFound:
        return None


def _forecast(champion: Manifest, catalog: Catalog, prepared: PreparedPanel) -> Array:
    """The champion's forecasts of the validation windows [n, horizon], NaN where one is too short for it."""
    windows = prepared.validation
    rollout = _load(champion, catalog.folder(champion))
    window = champion.window if not champion.reads_whole_series else int(windows.ends.max())
    answers = np.full(windows.actual.shape, np.nan)
    usable = np.flatnonzero(windows.ends >= champion.min_length)
    for i in range(0, len(usable), CHUNK):
        rows = usable[i : i + CHUNK]
        inputs = prepared.rows.inputs(windows.series[rows], windows.ends[rows], window)
        answers[rows] = rollout(
            series=tf.constant(inputs[:, :, None], tf.float32),
            lengths=tf.constant(np.minimum(windows.ends[rows], window), tf.int32),
            horizon=tf.constant(prepared.horizon, tf.int32),
        )["forecast"].numpy()
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


def _show(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
