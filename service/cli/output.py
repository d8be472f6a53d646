"""What the command line prints: JSON for machines, tables for people."""

import json
import math
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from service.cli.outcome import describe_backtest, describe_job, summarize_job

if TYPE_CHECKING:
    from outfielder_client import Client

JOB_COLUMNS = ("id", "kind", "model", "status", "done")
METRICS = ("mse", "rmse", "mae", "smape", "mase")


def format_json(value: Any) -> str:
    return json.dumps(value, indent=2)


def print_json(value: Any) -> None:
    print(format_json(value))


def clean(text: str) -> str:
    """A text of a file on one line, which tells a terminal nothing but what it shows."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def print_table(header: list[str], rows: list[list[str]], *, numbers_from: int | None = None) -> None:
    """Args: `numbers_from` is the first of the columns of numbers, which end at the right."""
    lines = [[clean(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        cells = [
            cell.ljust(width) if numbers_from is None or i < numbers_from else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def print_jobs(listed: list[dict[str, Any]]) -> None:
    rows = [[*_summarize_state(job), summarize_job(job)] for job in listed]
    print_table([*JOB_COLUMNS, "outcome"], rows)


def print_job(job: dict[str, Any], freq: str | None) -> None:
    """A job, and in words what came of it. `freq` is that of its series, where it is known."""
    print_table(list(JOB_COLUMNS), [_summarize_state(job)])
    words = describe_job(job, freq)
    print(textwrap.fill(words, shutil.get_terminal_size().columns) if sys.stdout.isatty() else words)


def find_frequency(client: "Client", job: dict[str, Any]) -> str | None:
    """The frequency of the series that a job trained on: that of its version, while it is there."""
    from outfielder_client import NotFound, Unavailable

    result = job["result"] or {}
    if job["kind"] != "train" or "version" not in result:
        return None
    try:
        freq: str | None = client.version(result["model"], result["version"])["data"]["freq"]
    except (NotFound, Unavailable):
        # Deleted or damaged since.
        return None
    return freq


def _summarize_state(job: dict[str, Any]) -> list[str]:
    progress = job["progress"]
    done = "" if progress is None or not progress["epochs"] else f"{progress['epoch']}/{progress['epochs']}"
    return [job["id"], job["kind"], job["model"], job["status"], done]


def print_history(epochs: list[dict[str, Any]]) -> None:
    counts = ("attempt", "epoch", "member", "member_epoch")
    rows = [
        [*(str(epoch[count]) for count in counts), *(format_score(epoch[loss]) for loss in ("loss", "val_loss")),
         "" if epoch["seconds"] is None else f"{epoch['seconds']:.1f}"]
        for epoch in epochs
    ]  # fmt: skip
    print_table(["run", "epoch", "member", "member epoch", "loss", "validation", "seconds"], rows)


def print_forecast(answer: dict[str, Any], only_series: str | None = None) -> None:
    """Args: `only_series` is what a series is called whose file has no name for it."""
    horizon = answer["horizon"]
    print(f"{answer['model']} version {answer['version']}, {answer['mode']}, {horizon} step{'s' * (horizon != 1)}")
    for series in answer["forecasts"]:
        if "error" in series:
            print(f"{series['id']}: {series['error']['message']}")
            continue
        columns = {"forecast": series["values"]}
        for level, interval in series.get("intervals", {}).items():
            columns |= {f"lo-{level}": interval["lower"], f"hi-{level}": interval["upper"]}
        columns |= {f"q-{quantile}": values for quantile, values in series.get("quantiles", {}).items()}
        decimals = choose_decimals([value for values in columns.values() for value in values])
        stamps = series.get("timestamps") or range(1, horizon + 1)
        cells = [[str(stamp) for stamp in stamps]]
        cells += [[format_number(value, decimals) for value in values] for values in columns.values()]
        print_table(
            [only_series or series["id"], *columns], [list(row) for row in zip(*cells, strict=True)], numbers_from=1
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
    print(describe_backtest(answer))
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


def choose_decimals(values: list[float]) -> int | None:
    """As many decimals as show six digits of the largest number; None where only a power of ten does."""
    largest = max(map(abs, values), default=0.0)
    if largest == 0:
        return 0
    return max(0, 5 - math.floor(math.log10(largest))) if 1e-4 <= largest < 1e15 else None


def format_number(value: float, decimals: int | None) -> str:
    return f"{value:.6g}" if decimals is None else f"{value:.{decimals}f}"
