"""A job's outcome in words, over jobs of all kinds and ends."""

import re
from typing import Any

import pytest

from service.cli.outcome import describe_backtest, describe_job, format_seconds, summarize_job
from tests.cli.records import make_gate, make_job, make_metrics, make_scores

GOOD = make_metrics(
    make_scores(0.84), naive=make_scores(2.0), seasonal_naive=make_scores(1.09), linear=make_scores(0.81)
)
REASON = "On the validation windows its mase of 1.1 is above seasonal naive's 1.0."


def test_a_champion_is_told_with_its_score_beside_simple_forecasts_and_what_it_was_measured_on() -> None:
    assert describe_job(make_job(GOOD, make_gate()), "MS") == (
        "auto finished in 41 s: version 3 of demand. MASE 0.84 on the last 12 months of 40 series, which it had not "
        "seen: 23 % better than seasonal naive (1.09), 4 % worse than linear (0.81). It passed the gate, on the 12 "
        "months before those, and became the champion."
    )
    assert describe_job(make_job(GOOD, make_gate(champion_version=2)), "MS").endswith(
        "and became the champion, in place of version 2."
    )


def test_a_version_that_the_gate_refused_is_told_why_how_to_ask_for_it_and_what_to_try() -> None:
    request = {"architecture": "lstm", "data": {"kind": "series", "series": {"n_series": 1}, "n_series": 1}}
    gate = make_gate(False, REASON, candidate=1.1)
    words = describe_job(make_job(GOOD, gate, request=request), "D")
    assert words.startswith("lstm finished in 41 s: version 3 of demand. MASE 0.84 on the last 12 days of the series,")
    assert words.endswith(
        "It was not promoted: on the 12 days before those its MASE of 1.1 is above seasonal naive's 1.0. It was kept, "
        "and answers where --version 3 asks for it. Try 'outfielder train auto', or longer series."
    )


def test_a_version_that_only_the_champion_beats_is_told_which_one_stays() -> None:
    reason = "On the validation windows its mase of 0.9 is not below the 0.8 of the champion, version 2."
    words = describe_job(make_job(GOOD, make_gate(False, reason, champion_version=2)), "MS")
    assert "its MASE of 0.9 is not below the 0.8 of the champion, version 2." in words
    assert words.endswith("Version 2 stays the champion.")


def test_fits_that_failed_are_told() -> None:
    job = make_job(GOOD, make_gate())
    job["result"]["left_out"] = [{"part": "mlp 3", "reason": "The training diverged."}]
    assert "version 3 of demand. It does without mlp 3: The training diverged. MASE 0.84" in describe_job(job)
    job["result"]["left_out"] *= 2
    assert "It does without 2 fits, first mlp 3: The training diverged." in describe_job(job)
    job["result"]["left_out"] = None
    assert "without" not in describe_job(job)


def test_whoever_has_tried_the_best_is_not_told_to_try_it() -> None:
    words = describe_job(make_job(GOOD, make_gate(False, REASON, candidate=1.1)))
    assert "train auto" not in words
    assert "a shorter --horizon" in words


@pytest.mark.parametrize(
    ("freq", "shown"),
    [("MS", "12 months"), ("W-MON", "12 weeks"), ("h", "12 hours"), ("QE-DEC", "12 quarters"),
     ("B", "12 business days"), ("15min", "12 points"), (None, "12 points")],
)  # fmt: skip
def test_the_held_out_points_are_counted_in_the_unit_of_the_frequency(freq: str | None, shown: str) -> None:
    assert f"the last {shown} of 40 series" in describe_job(make_job(GOOD, make_gate()), freq)


def test_one_held_out_point_is_no_plural() -> None:
    metrics = make_metrics(make_scores(0.8, steps=1), seasonal_naive=make_scores(1.0, steps=1))
    assert "on the last month of 40 series" in describe_job(make_job(metrics, make_gate()), "MS")


def test_series_without_a_scale_are_told_in_their_own_unit() -> None:
    metrics = make_metrics(make_scores(None, 3.0), seasonal_naive=make_scores(None, 4.0))
    words = describe_job(make_job(metrics, make_gate(metric="mae")), "MS")
    assert (
        "RMSE 3 on the last 12 months of 40 series, which it had not seen: 25 % better than seasonal naive (4)" in words
    )
    assert "MASE" not in words


def test_intermittent_demand_is_told_by_squared_errors_that_judged_it() -> None:
    metrics = make_metrics(make_scores(1.5, 3.0), seasonal_naive=make_scores(1.0, 4.0))
    words = describe_job(make_job(metrics, make_gate(metric="rmsse")), "MS")
    assert "RMSE 3 on" in words
    assert "25 % better than seasonal naive (4)" in words


def test_waves_are_told_by_mse_beside_linear_and_naive() -> None:
    scores = {"mse": 0.0092, "rmse": 0.096, "mae": 0.07, "smape": 30.0, "by_step": {"mse": [0.01] * 10}}
    metrics = {
        "train": scores,
        "validation": scores,
        "test": scores,
        "baselines": {"naive": {"test": scores | {"mse": 0.27}}, "linear": {"test": scores | {"mse": 0.0189}}},
    }
    job = make_job(metrics, request={"architecture": "lstm"})
    assert describe_job(job) == (
        "lstm finished in 41 s: version 3 of demand. MSE 0.0092 on waves that it had not seen: 51 % better than linear "
        "(0.0189), 97 % better than naive (0.27). No gate applies to it: it is served unless the model has a champion."
    )
    assert summarize_job(job) == "version 3, MSE 0.0092 (linear 0.0189)"


def test_where_nothing_is_held_out_behind_the_validation_part_that_one_is_told() -> None:
    metrics = make_metrics(make_scores(0.5), seasonal_naive=make_scores(1.0))
    metrics["validation"] = metrics.pop("test")
    words = describe_job(make_job(metrics, make_gate()), "MS")
    assert "MASE 0.50 on the last 12 months" in words
    assert "It passed the gate, on those, and became" in words


def test_what_could_not_be_scored_is_said_so() -> None:
    empty: dict[str, Any] = {
        "mse": None,
        "rmse": None,
        "mae": None,
        "smape": None,
        "mase": None,
        "by_step": {"mse": [], "mae": []},
    }
    for metrics in ({"test": empty, "validation": empty}, {}):
        job = make_job(metrics, make_gate())
        assert "It could not be scored" in describe_job(job)
        assert summarize_job(job) == "version 3, passed the gate"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "queued", "started_at": None, "finished_at": None, "progress": None}, "auto waits for a worker."),
        ({"status": "running", "finished_at": None, "progress": None}, "auto is running."),
        (
            {"status": "running", "finished_at": None,
             "progress": {"epoch": 3, "epochs": 20, "loss": 1, "val_loss": 1, "eta_seconds": 125.0}},
            "auto is running, 3 of 20 epochs done, about 2 min 5 s left.",
        ),
        (
            {"status": "cancelled", "progress": {"epoch": 3, "epochs": 20, "eta_seconds": 9.0}},
            "auto was cancelled after 41 s, 3 of 20 epochs done. Nothing was published.",
        ),
        (
            {"status": "cancelled", "started_at": None, "progress": None},
            "auto was cancelled before it began. Nothing was published.",
        ),
        (
            {"status": "failed", "error": {"code": "worker_died", "message": "The worker died 3 times."}},
            "auto failed after 41 s: The worker died 3 times.",
        ),
        (
            {"status": "failed", "started_at": None, "error": {"code": "dataset_not_found", "message": "It is gone."}},
            "auto failed before it began: It is gone.",
        ),
        (
            {"status": "cancelled", "kind": "backtest", "request": {"model": "demand"},
             "progress": {"epoch": 1, "epochs": 4, "eta_seconds": None}},
            "The backtest of demand was cancelled after 41 s, 1 of 4 parts done.",
        ),
        ({"kind": "backtest", "request": {}, "result": {"model": "demand", "version": 2}},
         "The backtest of demand finished in 41 s."),
        # Another program wrote to the job database.
        ({"status": "failed", "request": {}, "error": {"message": "It can't be read."}},
         "demand failed after 41 s: It can't be read."),
    ],
)  # fmt: skip
def test_jobs_that_wait_run_or_end_otherwise_are_told_in_a_sentence(fields: dict[str, Any], words: str) -> None:
    assert describe_job(make_job(**fields)) == words


def test_the_table_has_the_score_and_the_gates_verdict() -> None:
    assert summarize_job(make_job(GOOD, make_gate())) == "version 3, MASE 0.84 (seasonal naive 1.09), passed the gate"
    assert summarize_job(make_job(GOOD, make_gate(False))).endswith(", not promoted")
    assert summarize_job(make_job(GOOD)) == "version 3, MASE 0.84 (seasonal naive 1.09)"
    assert summarize_job(make_job(status="failed", error={"code": "x", "message": "It broke."})) == "It broke."
    assert summarize_job(make_job(status="queued")) == ""
    assert summarize_job(make_job(result={"model": "demand", "version": 2})) == "version 2"


def make_backtest(model: float | None, **baselines: float | None) -> dict[str, Any]:
    rows = {"model": make_scores(model)} | {name: make_scores(mase) for name, mase in baselines.items()}
    return {"model": "demand", "version": 3, "overall": rows}


def test_a_backtest_says_how_it_did_and_who_did_best() -> None:
    assert describe_backtest(make_backtest(0.8, naive=3.0, seasonal_naive=1.0, linear=0.7)) == (
        "demand has MASE 0.80: 20 % better than seasonal naive (1.00), 14 % worse than linear (0.70). Linear was the "
        "best."
    )
    assert describe_backtest(make_backtest(0.8, naive=3.0, seasonal_naive=1.0)).endswith("seasonal naive (1.00).")
    # Naive, which is not compared with where a season is known, may still be the best.
    assert describe_backtest(make_backtest(0.8, naive=0.5, seasonal_naive=1.0)).endswith("Naive was the best.")
    assert describe_backtest(make_backtest(None, seasonal_naive=None)) == (
        "demand has RMSE 10: as good as seasonal naive (10)."
    )
    job = make_job(kind="backtest", request={"model": "demand"}, result=make_backtest(0.8, seasonal_naive=1.0))
    assert describe_job(job) == (
        "The backtest of demand finished in 41 s. demand has MASE 0.80: 20 % better than seasonal naive (1.00)."
    )
    assert summarize_job(job) == "version 3, MASE 0.80 (seasonal naive 1.00)"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (41.4, "41 s"), (59.6, "1 min"), (185, "3 min 5 s"),
     (3600, "1 h"), (3599.7, "1 h"), (7790, "2 h 10 min"), (86_400, "24 h")],
)  # fmt: skip
def test_durations_are_told_as_people_say_them(seconds: float, shown: str) -> None:
    assert format_seconds(seconds) == shown


def test_no_words_speak_of_the_mse_of_series_of_ones_own() -> None:
    words = describe_job(make_job(GOOD, make_gate())) + summarize_job(make_job(GOOD, make_gate()))
    assert not re.search(r"\bMSE\b", words)
