"""Ranks versions by the scores in their manifests, separately for each data set."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from service.store.manifest import Manifest
from service.store.model_entry import ModelEntry

Metric = Literal["mse", "rmse", "mae", "smape", "mase"]
Part = Literal["validation", "test"]

METRICS: tuple[Metric, ...] = ("mse", "rmse", "mae", "smape", "mase")


@dataclass(frozen=True, slots=True)
class LeaderboardEntry:
    """A version, or a baseline that was measured beside versions: it has no `version` and no `architecture`.

    Equal scores share a `rank`; without a score there is none.
    """

    rank: int | None
    kind: Literal["model", "baseline"]
    model: str
    version: int | None
    architecture: str | None
    is_current: bool
    scores: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows whose scores compare: of one data, over one horizon. `data` is `{"kind", "digest", "n_series", "freq"}`."""

    data: dict[str, Any]
    horizon: int
    metric: Metric
    rows: list[LeaderboardEntry]


def rank(entries: Iterable[ModelEntry], *, part: Part = "test", metric: Metric | None = None) -> list[Group]:
    """The leaderboard: the data that was trained on last comes first.

    Args:
        part: which scores count. Versions that were not measured on it are left out.
        metric: what to rank by, the lower the better; by default mase where every row of a group has one, else mse.
    """
    groups: dict[tuple[str, int], list[tuple[Manifest, bool]]] = {}
    for entry in entries:
        for manifest in entry.versions:
            if part in manifest.metrics and "digest" in manifest.data:
                key = (str(manifest.data["digest"]), _count_steps(manifest, part))
                groups.setdefault(key, []).append((manifest, manifest is entry.current))
    newest = sorted(groups.items(), key=lambda group: max(m.created_at for m, _ in group[1]), reverse=True)
    return [_make_group(versions, horizon, part, metric) for (_, horizon), versions in newest]


def _make_group(versions: list[tuple[Manifest, bool]], horizon: int, part: Part, metric: Metric | None) -> Group:
    rows = [
        LeaderboardEntry(
            rank=None,
            kind="model",
            model=manifest.name,
            version=manifest.version,
            architecture=manifest.architecture,
            is_current=is_current,
            scores=_scores(manifest.metrics[part]),
        )
        for manifest, is_current in versions
    ]
    rows += [
        LeaderboardEntry(None, "baseline", name, None, None, False, _scores(parts[part]))
        for manifest, _ in versions
        for name, parts in manifest.metrics.get("baselines", {}).items()
        if part in parts
    ]
    by = metric or ("mase" if all(row.scores["mase"] is not None for row in rows) else "mse")
    data = {name: versions[0][0].data.get(name) for name in ("kind", "digest", "n_series", "freq")}
    return Group(data, horizon, by, _order(rows, by))


def _order(rows: list[LeaderboardEntry], metric: Metric) -> list[LeaderboardEntry]:
    """Best first, those without a score last.

    Each baseline stands once: where versions measured it differently, as linear with another window, its best.
    """
    ordered = sorted(rows, key=lambda row: _position(row, metric))
    best: dict[tuple[str, str, int | None], LeaderboardEntry] = {}
    for row in ordered:
        best.setdefault((row.kind, row.model, row.version), row)
    scores = [score for row in best.values() if (score := row.scores[metric]) is not None]
    return [
        row if (score := row.scores[metric]) is None else replace(row, rank=1 + scores.index(score))
        for row in best.values()
    ]


def _position(row: LeaderboardEntry, metric: Metric) -> tuple[float, str, str, int]:
    score = row.scores[metric]
    return (math.inf if score is None else score, row.kind, row.model, -(row.version or 0))


def _count_steps(manifest: Manifest, part: Part) -> int:
    """Over how many steps a version was measured: not its own horizon, where a roll-out was."""
    by_step = manifest.metrics[part].get("by_step", {}).get("mse")
    return manifest.horizon if by_step is None else len(by_step)


def _scores(scores: dict[str, Any]) -> dict[str, float | None]:
    return {name: scores.get(name) for name in METRICS}
