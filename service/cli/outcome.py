"""What came of a job, in words: how good its model is beside simple forecasts, and whether it is served."""

import re
from datetime import datetime
from typing import Any

from service.cli.score_words import NAMES, choose_metric, compare_all, read_rows, show, show_beside

UNITS = {
    "s": "second", "min": "minute", "h": "hour", "D": "day", "B": "business day", "C": "open day", "W": "week",
    "MS": "month", "ME": "month", "BMS": "month", "BME": "month", "QS": "quarter", "QE": "quarter", "BQS": "quarter",
    "BQE": "quarter", "YS": "year", "YE": "year", "BYS": "year", "BYE": "year",
}  # fmt: skip
METRICS = re.compile(r"\b(mase|rmsse|mae)\b")
SQUARED = "rmsse"
BEST = "auto"
# Jobs that train nothing.
OTHERS = {"backtest": "The backtest of", "forecast": "The forecast by"}


def describe_job(job: dict[str, Any], freq: str | None = None) -> str:
    """A job's outcome, or its state, in a few sentences.

    Args:
        job: a record of GET /jobs/{id}.
        freq: the frequency of the series that it trained on, where it is known.
    """
    name = f"{OTHERS[job['kind']]} {job['model']}" if job["kind"] in OTHERS else _name_architecture(job)
    progress, seconds = _describe_progress(job), _measure_seconds(job)
    match job["status"]:
        case "queued":
            return f"{name} waits for a worker."
        case "running":
            return f"{name} is running{progress}."
        case "cancelled" | "failed" as ended:
            when = " before it began" if seconds is None else f" after {format_seconds(seconds)}"
            if ended == "failed":
                return f"{name} failed{when}: {(job['error'] or {}).get('message', 'the reason is not known.')}"
            nothing = " Nothing was published." if job["kind"] == "train" else ""
            return f"{name} was cancelled{when}{progress}.{nothing}"
    finished = f"{name} finished" + ("" if seconds is None else f" in {format_seconds(seconds)}")
    result = job["result"]
    if "metrics" not in result:
        # Lists of jobs leave the scores of backtests out.
        return f"{finished}. {describe_backtest(result)}" if "overall" in result else f"{finished}."
    published = f"{finished}: version {result['version']} of {result['model']}."
    parts = [published, *_describe_left_out(result), _describe_scores(job, freq), *_describe_gate(job, freq)]
    return " ".join(parts)


def summarize_job(job: dict[str, Any]) -> str:
    """The outcome in a few words, for a table; empty before there is one."""
    result, error = job["result"], job["error"] or {}
    if result is None:
        return str(error.get("message", ""))
    if "metrics" not in result:
        rows = result.get("overall", {})
        return ", ".join(filter(None, [f"version {result['version']}", show_beside(rows, choose_metric(rows))]))
    rows, gate = read_rows(result["metrics"]), result["gate"]
    score = show_beside(rows, choose_metric(rows, squared=_is_squared(gate)))
    verdict = "" if gate is None else "passed the gate" if gate["passed"] else "not promoted"
    return ", ".join(filter(None, [f"version {result['version']}", score, verdict]))


def describe_backtest(answer: dict[str, Any]) -> str:
    """How a model did beside the baselines, in a sentence."""
    rows = answer["overall"]
    metric = choose_metric(rows)
    if metric is None:
        return f"{answer['model']} could not be scored."
    others = compare_all(rows, metric)
    best = min((name for name in rows if rows[name].get(metric) is not None), key=lambda name: rows[name][metric])
    # Equal scores are no reason to name another one.
    is_beaten = rows[best][metric] < rows["model"][metric]
    ending = f" {NAMES.get(best, best).capitalize()} was the best." if is_beaten else ""
    return f"{answer['model']} has {show(rows, metric)}{': ' if others else ''}{others}.{ending}"


def format_seconds(seconds: float) -> str:
    """A duration as people say it: 0.4 s, 41 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    large, small, rest = ("h", "min", round(whole / 60)) if whole >= 3600 else ("min", "s", whole)
    return f"{rest // 60} {large} {rest % 60} {small}" if rest % 60 else f"{rest // 60} {large}"


def _name_architecture(job: dict[str, Any]) -> str:
    return str(job["request"].get("architecture", job["model"]))


def _measure_seconds(job: dict[str, Any]) -> float | None:
    """How long it ran; None where it never began, or goes on."""
    if job["started_at"] is None or job["finished_at"] is None:
        return None
    begin, end = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    return max(0.0, (end - begin).total_seconds())


def _describe_progress(job: dict[str, Any]) -> str:
    progress = job["progress"]
    if progress is None or not progress["epochs"]:
        return ""
    what = "epochs" if job["kind"] == "train" else "parts"
    left = progress["eta_seconds"] if job["status"] == "running" else None
    return f", {progress['epoch']} of {progress['epochs']} {what} done" + (
        f", about {format_seconds(left)} left" if left else ""
    )


def _describe_left_out(result: dict[str, Any]) -> list[str]:
    """The parts of a model of several that could not be fitted."""
    left_out = result.get("left_out") or []
    if not left_out:
        return []
    first = f"{left_out[0]['part']}: {left_out[0]['reason']}"
    return [
        f"It does without {first}" if len(left_out) == 1 else f"It does without {len(left_out)} fits, first {first}"
    ]


def _describe_scores(job: dict[str, Any], freq: str | None) -> str:
    """The score on what was held out, beside those of the baselines."""
    result = job["result"]
    rows = read_rows(result["metrics"])
    metric = choose_metric(rows, squared=_is_squared(result["gate"]))
    if metric is None:
        return "It could not be scored: no point that was held out has a value."
    data = job["request"].get("data") or {}
    if data.get("kind", "synthetic") == "synthetic":
        where = "waves that it had not seen"
    else:
        n_series = data.get("n_series")
        of = "" if n_series is None else " of the series" if n_series == 1 else f" of {n_series:,} series"
        where = f"the last {_describe_horizon(rows['model'], freq)}{of}, which it had not seen"
    others = compare_all(rows, metric)
    return f"{show(rows, metric)} on {where}{': ' if others else ''}{others}."


def _describe_horizon(scores: dict[str, Any], freq: str | None) -> str:
    """`12 months`; of 15min or 2W, which have no name, `12 points`."""
    steps = len(scores.get("by_step", {}).get("mse", ()))
    unit = UNITS.get((freq or "").partition("-")[0], "point")
    return unit if steps == 1 else f"{steps:,} {unit}s" if steps else "points"


def _describe_gate(job: dict[str, Any], freq: str | None) -> list[str]:
    """Whether it is served, and what else to try."""
    result = job["result"]
    gate, version = result["gate"], result["version"]
    if gate is None:
        return ["No gate applies to it: it is served unless the model has a champion."]
    scores = gate["scores"]
    champion = scores.get("champion_version")
    horizon = _describe_horizon(result["metrics"].get("validation", {}), freq)
    # The gate judges by other points than the score above is of, and may say something else.
    before = f"on the {horizon} before those" if "test" in result["metrics"] else "on those"
    if gate["passed"]:
        place = "" if champion is None else f", in place of version {champion}"
        return [f"It passed the gate, {before}, and became the champion{place}."]
    reason = gate["reason"].replace("On the validation windows", before).rstrip(".")
    lines = [f"It was not promoted: {METRICS.sub(lambda found: found[0].upper(), reason)}."]
    lines.append(f"It was kept, and answers where --version {version} asks for it.")
    if champion is not None:
        lines.append(f"Version {champion} stays the champion.")
    if scores["candidate"] > scores["seasonal_naive"]:
        what = "a shorter --horizon" if _name_architecture(job) == BEST else f"'outfielder train {BEST}'"
        lines.append(f"Try {what}, or longer series.")
    return lines


def _is_squared(gate: dict[str, Any] | None) -> bool:
    """Whether squared errors judged, as they do of intermittent demand."""
    return gate is not None and gate["scores"]["metric"] == SQUARED
