"""GET /leaderboard on a real server."""

from pathlib import Path

from tests.api.server import assert_problem, client
from tests.serving.models import Kind, add_version

DATA = {"kind": "synthetic", "digest": "d1", "n_series": 10, "freq": None}


def test_versions_and_baselines_are_ranked_by_their_stored_scores(tmp_path: Path) -> None:
    baselines = {"naive": {"validation": {"mse": 9.0}, "test": {"mse": 3.0}}}
    for name, version, mse in (("a", 1, 2.0), ("a", 2, 4.0), ("b", 1, 1.0)):
        metrics = {"test": {"mse": mse, "rmse": mse**0.5, "mae": mse}, "baselines": baselines}
        add_version(tmp_path / "store", name, Kind(), job_id=f"{name}{version}", data=DATA, metrics=metrics)
    with client(tmp_path / "store", tmp_path / "state") as http:
        answer = http.get("/leaderboard").json()
        assert answer["next_cursor"] is None
        (group,) = answer["leaderboard"]
        assert (group["data"], group["horizon"], group["metric"]) == (DATA, 10, "mse")
        assert [
            (row["rank"], row["kind"], row["model"], row["version"], row["is_current"]) for row in group["rows"]
        ] == [
            (1, "model", "b", 1, True),
            (2, "model", "a", 1, False),
            (3, "baseline", "naive", None, False),
            (4, "model", "a", 2, True),
        ]
        assert group["rows"][0]["scores"] == {"mse": 1.0, "rmse": 1.0, "mae": 1.0, "smape": None, "mase": None}
        assert http.put("/models/a/aliases/champion", json={"version": 1}).is_success
        (group,) = http.get("/leaderboard", params={"metric": "rmse", "part": "test"}).json()["leaderboard"]
        assert [row["version"] for row in group["rows"] if row["model"] == "a" and row["is_current"]] == [1]
        assert http.get("/leaderboard", params={"part": "validation"}).json()["leaderboard"] == []
        for parameter in ("metric", "part"):
            document = http.get("/leaderboard", params={parameter: "best"})
            assert_problem(document, 422, "unknown_choice", f"/{parameter}")


def test_an_empty_store_has_an_empty_leaderboard(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state") as http:
        assert http.get("/leaderboard").json() == {"leaderboard": [], "next_cursor": None}
