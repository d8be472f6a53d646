from typing import Any

import pytest

from service.store.catalog import ModelEntry
from service.store.leaderboard import Group, Part, rank
from service.store.manifest import Manifest


def scores(mse: float, mase: float | None = None, steps: int = 3) -> dict[str, Any]:
    found = {"mse": mse, "rmse": mse**0.5, "mae": mse, "smape": mse, "by_step": {"mse": [mse] * steps}}
    return found if mase is None else {**found, "mase": mase}


def manifest(name: str, version: int, metrics: dict[str, Any], **fields: Any) -> Manifest:
    return Manifest(
        **{
            "name": name,
            "version": version,
            "created_at": f"2026-01-{version:02d}T00:00:00.000Z",
            "architecture": "mlp",
            "head": "vector",
            "hyper_parameters": {},
            "modes": ["vector"],
            "window": 12,
            "horizon": 3,
            "min_length": 1,
            "scaling": "standard",
            "reads_whole_series": False,
            "data": {"kind": "series", "digest": "d1", "n_series": 4, "freq": "MS", "season": 12},
            "seed": 1,
            "metrics": metrics,
            "gate": None,
            "epochs_run": 1,
            "seconds": 1.0,
            "device": "cpu",
            "library_versions": {},
            "job_id": None,
            "parameters": 1,
            **fields,
        }
    )


def entry(*manifests: Manifest, **aliases: int) -> ModelEntry:
    return ModelEntry(manifests[0].name, manifests, aliases)


def ranks(group: Group) -> list[tuple[int | None, str, int | None]]:
    return [(row.rank, row.model, row.version) for row in group.rows]


def test_all_versions_stand_with_the_baselines_best_first_and_the_current_one_is_told() -> None:
    baselines = {"naive": {"test": scores(5, 5)}, "seasonal_naive": {"test": scores(2, 3)}}
    a = entry(
        manifest("a", 1, {"test": scores(3, 1), "baselines": baselines}),
        manifest("a", 2, {"test": scores(1, 4), "baselines": baselines}),
        champion=1,
    )
    b = entry(manifest("b", 1, {"test": scores(4, 3), "baselines": baselines}))
    (group,) = rank([a, b])
    assert group.metric == "mase"
    assert group.horizon == 3
    assert group.data == {"kind": "series", "digest": "d1", "n_series": 4, "freq": "MS"}
    assert ranks(group) == [
        (1, "a", 1),
        (2, "seasonal_naive", None),
        (2, "b", 1),
        (4, "a", 2),
        (5, "naive", None),
    ]
    assert [row.is_current for row in group.rows] == [True, False, True, False, False]
    assert [row.kind for row in group.rows].count("baseline") == 2
    assert group.rows[0].scores == {"mse": 3, "rmse": 3**0.5, "mae": 3, "smape": 3, "mase": 1}
    (by_mse,) = rank([a, b], metric="mse")
    assert ranks(by_mse)[0] == (1, "a", 2)


def test_without_mase_everywhere_the_default_is_mse_and_rows_without_a_score_come_last() -> None:
    a = entry(manifest("a", 1, {"test": scores(3, 1)}), manifest("a", 2, {"test": scores(1)}))
    (group,) = rank([a])
    assert (group.metric, ranks(group)) == ("mse", [(1, "a", 2), (2, "a", 1)])
    (group,) = rank([a], metric="mase")
    assert ranks(group) == [(1, "a", 1), (None, "a", 2)]


def test_scores_of_other_data_or_of_another_horizon_are_ranked_apart_the_newest_first() -> None:
    other = {"kind": "synthetic", "digest": "d2", "n_series": 10, "freq": None}
    a = entry(
        manifest("a", 1, {"test": scores(1)}),
        manifest("a", 2, {"test": scores(1, steps=12)}),
        manifest("a", 3, {"test": scores(2)}, data=other),
        manifest("a", 4, {"test": scores(3)}),
    )
    assert [(group.data["digest"], group.horizon, ranks(group)) for group in rank([a])] == [
        ("d1", 3, [(1, "a", 1), (2, "a", 4)]),
        ("d2", 3, [(1, "a", 3)]),
        ("d1", 12, [(1, "a", 2)]),
    ]


@pytest.mark.parametrize(("part", "found"), [("test", [1]), ("validation", [2])])
def test_versions_that_were_not_measured_on_the_part_are_left_out(part: Part, found: list[int]) -> None:
    a = entry(
        manifest("a", 1, {"test": scores(1)}),
        manifest("a", 2, {"validation": scores(1), "baselines": {"naive": {"test": scores(1)}}}),
        manifest("a", 3, {"test": scores(1), "validation": scores(1)}, data={"kind": "synthetic"}),
    )
    (group,) = rank([a], part=part)
    assert [row.version for row in group.rows] == found


def test_a_baseline_that_was_measured_more_than_once_stands_with_its_best() -> None:
    a = entry(
        manifest("a", 1, {"test": scores(1), "baselines": {"linear": {"test": scores(4)}}}),
        manifest("a", 2, {"test": scores(2), "baselines": {"linear": {"test": scores(3)}}}),
    )
    (group,) = rank([a])
    assert [(row.model, row.scores["mse"]) for row in group.rows] == [("a", 1), ("a", 2), ("linear", 3)]


def test_an_empty_store_has_no_leaderboard() -> None:
    assert rank([]) == []
