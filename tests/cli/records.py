"""Records of jobs as GET /jobs/{id} gives them, with what a test is about."""

from typing import Any

MONTHS = 12


def make_scores(mase: float | None = 1.0, rmse: float = 10.0, steps: int = MONTHS) -> dict[str, Any]:
    scores = {"mse": rmse**2, "rmse": rmse, "mae": rmse / 2, "smape": 5.0, "mase": mase}
    return scores | {"by_step": {"mse": [rmse**2] * steps, "mae": [rmse / 2] * steps}}


def make_metrics(test: dict[str, Any], **baselines: dict[str, Any]) -> dict[str, Any]:
    steps = len(test["by_step"]["mse"])
    validation = make_scores(steps=steps)
    rivals = {name: {"test": scores, "validation": scores} for name, scores in baselines.items()}
    return {"validation": validation, "test": test, "baselines": rivals}


def make_gate(
    passed: bool = True,
    reason: str = "It is no worse than seasonal naive.",
    metric: str = "mase",
    candidate: float = 0.9,
    seasonal_naive: float = 1.0,
    champion_version: int | None = None,
) -> dict[str, Any]:
    scores = {
        "metric": metric, "candidate": candidate, "seasonal_naive": seasonal_naive, "champion": None,
        "champion_version": champion_version, "left_out": 0,
    }  # fmt: skip
    return {"passed": passed, "reason": reason, "scores": scores}


def make_job(
    metrics: dict[str, Any] | None = None, gate: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """A training of 40 series that has succeeded after 41 s, unless `fields` say otherwise."""
    result = None if metrics is None else {"model": "demand", "version": 3, "metrics": metrics, "gate": gate}
    job = {
        "id": "0" * 32,
        "kind": "train",
        "status": "succeeded",
        "request": {"architecture": "auto", "data": {"kind": "dataset", "id": "d", "n_series": 40, "n_points": 4000}},
        "model": "demand",
        "submitted_at": "2026-11-23T14:37:50.000Z",
        "started_at": "2026-11-23T14:37:53.000Z",
        "finished_at": "2026-11-23T14:38:34.000Z",
        "attempt": 1,
        "progress": {"epoch": 20, "epochs": 20, "loss": 0.1, "val_loss": 0.1, "eta_seconds": 0.0},
        "result": result,
        "error": None,
    }
    return job | fields
