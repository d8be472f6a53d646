"""What the command line prints: JSON for machines, tables for people."""

import json
from typing import Any

METRICS = ("mse", "rmse", "mae", "smape", "mase")


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def print_table(header: list[str], rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_jobs(listed: list[dict[str, Any]]) -> None:
    rows = []
    for job in listed:
        progress = job["progress"]
        state = "" if progress is None else f"{progress['epoch']}/{progress['epochs']}"
        result = job["result"] or {}
        outcome = (job["error"] or {}).get("message", "")
        if "metrics" in result:
            outcome = f"version {result['version']}, test MSE {format_mse(result['metrics'])}"
        elif "overall" in result:
            outcome = f"version {result['version']}, MSE {result['overall']['model']['mse']:.4g}"
        rows.append([job["id"], job["kind"], job["model"], job["status"], state, outcome])
    print_table(["id", "kind", "model", "status", "done", "outcome"], rows)


def print_history(epochs: list[dict[str, Any]]) -> None:
    counts = ("attempt", "epoch", "member", "member_epoch")
    rows = [
        [*(str(epoch[count]) for count in counts), *(format_score(epoch[loss]) for loss in ("loss", "val_loss")),
         "" if epoch["seconds"] is None else f"{epoch['seconds']:.1f}"]
        for epoch in epochs
    ]  # fmt: skip
    print_table(["run", "epoch", "member", "member epoch", "loss", "validation", "seconds"], rows)


def print_forecast(answer: dict[str, Any]) -> None:
    print(f"{answer['model']} version {answer['version']}, {answer['mode']}, {answer['horizon']} steps")
    for series in answer["forecasts"]:
        if "error" in series:
            print(f"{series['id']}: {series['error']['message']}")
            continue
        stamps = series.get("timestamps") or range(1, len(series["values"]) + 1)
        print_table(
            [series["id"], "forecast"], [[str(s), f"{v:.6g}"] for s, v in zip(stamps, series["values"], strict=True)]
        )


def print_backtest(answer: dict[str, Any]) -> None:
    print(
        f"{answer['model']} version {answer['version']}, {answer['windows']} windows of {answer['horizon']} steps, "
        f"season {answer['season']}"
    )
    levels = answer["overall"]["model"].get("coverage", {})
    rows = [
        [name, *(format_score(scores[metric]) for metric in METRICS),
         *(f"{scores['coverage'][level]:.1f} %" if "coverage" in scores else "" for level in levels)]
        for name, scores in answer["overall"].items()
    ]  # fmt: skip
    print_table(["forecast", *METRICS, *(f"in {level} %" for level in levels)], rows)
    for name, reason in answer["left_out"].items():
        print(f"{name} left out: {reason}")
    for series in answer["series"]:
        if "error" in series:
            print(f"{series['id']}: {series['error']['message']}")


def print_leaderboard(groups: list[dict[str, Any]]) -> None:
    for group in groups:
        data = group["data"]
        print(f"{data['kind']} data {data['digest'][:12]}, {group['horizon']} steps, by {group['metric']}")
        rows = [
            [str(row["rank"] or ""), row["model"], str(row["version"] or ""), row["architecture"] or row["kind"],
             "current" if row["is_current"] else "", *(format_score(row["scores"][metric]) for metric in METRICS)]
            for row in group["rows"]
        ]  # fmt: skip
        print_table(["rank", "model", "version", "architecture", "", *METRICS], rows)


def format_score(score: float | None) -> str:
    return "" if score is None else f"{score:.4g}"


def format_mse(metrics: dict[str, Any]) -> str:
    return f"{metrics['test']['mse']:.4g}" if "test" in metrics else ""
