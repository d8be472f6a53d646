"""The faults of the drill, one function each: what is done, what must hold, what was seen."""

import random
import signal
import statistics
import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.drill.audit import SERIES, audit
from tests.drill.cluster import Cluster, wait_for
from tests.drill.observation import (
    forecasting,
    wait_for_another_run,
    wait_for_epoch,
    wait_for_progress,
    wait_for_run,
    wait_until_served,
)
from tests.drill.processes import name_role, send
from tests.postgres import PostgresServer
from tests.s3 import S3

# Seconds between two kills: long enough for a job to begin, short enough for most to be hit.
KILL_PAUSE_SECONDS = (1.0, 4.0)
ENDS_SECONDS = 900.0
READY_SECONDS = 180.0
SHORT: dict[str, Any] = {"architecture": "vector_rnn", "layers": 1, "units": 8, "epochs": 3, "data": {"n_series": 300}}
# Long enough for a fault to come in between.
LONG: dict[str, Any] = {"architecture": "lstm", "units": 16, "epochs": 14, "data": {"n_series": 1500}}
# So long that another host is up before its end.
LONGER: dict[str, Any] = {**LONG, "epochs": 60, "data": {"n_series": 4000}}


@dataclass(frozen=True)
class Row:
    """A line of the drill's table."""

    fault: str
    bar: str
    measured: str
    is_met: bool


def kill_at_random(cluster: Cluster, *, kills: int, jobs: int, seed: int = 7) -> Row:
    """Kills a process of a random role again and again while short jobs run; one that ends is started again."""
    chance = random.Random(seed)
    host = cluster.hosts[0]
    with host.client() as client:
        # Under a key of its own each, so that an answer that a kill cut off does not double a job.
        submitted = [client.train(**SHORT, name=f"job-{index}").id for index in range(jobs)]
    killed: dict[str, int] = {}
    for _ in range(kills):
        time.sleep(chance.uniform(*KILL_PAUSE_SECONDS))
        by_role: dict[str, list[int]] = {}
        for process in (process for one in cluster.hosts for process in one.find_processes()):
            by_role.setdefault(name_role(process), []).append(process)
        if by_role:
            role = chance.choice(sorted(by_role))
            send([chance.choice(by_role[role])], signal.SIGKILL)
            killed[role] = killed.get(role, 0) + 1
    found = audit(host, submitted, seconds=ENDS_SECONDS)
    listed = ", ".join(f"{count} {role}" for role, count in sorted(killed.items()))
    return Row(
        f"kill -9 {kills} times ({listed}) while {jobs} jobs run",
        "each job ends once; versions whole, one a job",
        f"{found.succeeded} succeeded, {found.failed} failed after three deaths, {found.versions} versions"
        + "".join(f"; {flaw}" for flaw in found.flaws),
        not found.flaws and found.succeeded + found.failed == jobs,
    )


def pause_worker(cluster: Cluster, *, lease_seconds: float) -> Row:
    """Stops a worker past its lease; another takes its job; then it goes on."""
    first, second = cluster.hosts
    with first.client() as client:
        # On the only host that is on.
        job = client.train(**LONG, name="paused")
        wait_for_epoch(first, job.id, 2)
        paused = [process for role in ("worker supervisor", "worker", "job process", "export")
                  for process in first.find_processes(role)]  # fmt: skip
        second.switch_on()
        send(paused, signal.SIGSTOP)
        began = time.monotonic()
        try:
            wait_for_another_run(second, job.id, 6 * lease_seconds)
            taken = time.monotonic() - began
        finally:
            send(paused, signal.SIGCONT)
    found = audit(second, [job.id], seconds=ENDS_SECONDS)
    # What the first had begun would be there by now.
    time.sleep(lease_seconds)
    found = audit(second, [job.id], seconds=ENDS_SECONDS)
    return Row(
        "SIGSTOP a worker past its lease, then SIGCONT",
        "one version",
        f"taken over after {taken:.0f} s; {found.versions} version" + "".join(f"; {flaw}" for flaw in found.flaws),
        found.versions == 1 and not found.flaws,
    )


def lose_host(cluster: Cluster) -> Row:
    """Cuts the power of the host that trains; the other goes on from its checkpoint, to the same weights."""
    first, second = cluster.hosts
    with first.client() as client:
        job = client.train(**LONGER, name="lost")
        wait_for_epoch(first, job.id, 6)
    second.switch_on()
    wait_for(second.is_ready, "the other host", READY_SECONDS, second)
    first.switch_off()
    began = time.monotonic()
    with second.client() as client:
        wait_for_another_run(second, job.id, 300)
        taken = time.monotonic() - began
        resumed = wait_for_progress(second, job.id)
        found = audit(second, [job.id], seconds=ENDS_SECONDS)
        undisturbed = client.train(**LONGER, name="undisturbed").wait().result or {}
        lost = client.job(job.id)["result"]
        are_equal = _weights(client, lost) == _weights(client, undisturbed)
    return Row(
        "a worker's host is gone for good",
        "elsewhere within 90 s, from its checkpoint; weights equal to an undisturbed job's",
        f"after {taken:.0f} s, from epoch {resumed}; weights {'equal' if are_equal else 'differ'}"
        + "".join(f"; {flaw}" for flaw in found.flaws),
        taken <= 90 and resumed >= 3 and are_equal and not found.flaws,
    )


def poison(cluster: Cluster) -> Row:
    """Kills the process of one job each time that it runs; the job behind it must not suffer."""
    host = cluster.hosts[0]
    with host.client() as client:
        bad = client.train(**LONG, name="poison")
        good = client.train(**SHORT, name="behind")
        for attempt in (1, 2, 3):
            wait_for_run(host, bad.id, attempt)
            wait_for_progress(host, bad.id)
            send(host.find_processes("job process"), signal.SIGKILL)
        wait_for(lambda: client.job(bad.id)["status"] == "failed", "the job fails", 300, host)
        ended = client.job(bad.id)
        found = audit(host, [good.id], seconds=ENDS_SECONDS)
    return Row(
        "a job whose process dies each time",
        "failed after 3 runs with the reason; the queue goes on",
        f"failed after {ended['attempt']} runs: {ended['error']['code']}; the next one succeeded",
        ended["error"]["code"] == "worker_died" and found.succeeded == 1,
    )


def stop_database(cluster: Cluster, postgres: PostgresServer, *, seconds: float) -> Row:
    """Stops PostgreSQL while a job runs and forecasts are asked for."""
    host = cluster.hosts[0]
    with host.client() as client:
        job = client.train(**LONG, name="without-database")
        wait_for_epoch(host, job.id, 1)
    with forecasting(cluster) as answers:
        postgres.stop()
        time.sleep(seconds / 2)
        readiness = httpx.get(f"{host.url}/readyz", timeout=30)
        refused = httpx.post(f"{host.url}/train", json=SHORT, timeout=30)
        time.sleep(seconds / 2)
        postgres.start()
    found = audit(host, [job.id], seconds=ENDS_SECONDS)
    return Row(
        f"PostgreSQL stopped for {seconds:.0f} s",
        "forecasts throughout; jobs complete afterwards; /readyz says so",
        f"{answers.tell()}; job {'completed' if found.succeeded else 'failed'}; POST /train {refused.status_code}; "
        f"/readyz {readiness.status_code}" + "".join(f"; {flaw}" for flaw in found.flaws),
        answers.are_good and found.succeeded == 1 and refused.status_code == 503
        and "database" in readiness.text and not found.flaws,
    )  # fmt: skip


def fail_object_store(cluster: Cluster, s3: S3, *, seconds: float) -> Row:
    """Has the object store answer 500 while a job wants to publish and forecasts are asked for."""
    host = cluster.hosts[0]
    with host.client() as client:
        job = client.train(**SHORT, name="without-store")
        wait_for(lambda: client.job(job.id)["status"] == "running", "the job runs", 120, host)
    with forecasting(cluster) as answers:
        s3.fail("500")
        time.sleep(seconds / 2)
        readiness = httpx.get(f"{host.url}/readyz", timeout=30)
        time.sleep(seconds / 2)
        s3.fail("")
    found = audit(host, [job.id], seconds=ENDS_SECONDS)
    return Row(
        f"the object store answers 500 for {seconds:.0f} s",
        "forecasts throughout; jobs complete afterwards; /readyz says so",
        f"{answers.tell()}; job {'completed' if found.succeeded else 'failed'}; /readyz {readiness.status_code}"
        + "".join(f"; {flaw}" for flaw in found.flaws),
        answers.are_good and found.succeeded == 1 and "object store" in readiness.text and not found.flaws,
    )


def publish_for_all(cluster: Cluster, *, count: int = 3) -> Row:
    """Measures how long after a job's end each API serves its version."""
    delays = []
    with cluster.hosts[0].client() as client:
        for index in range(count):
            job = client.train(**SHORT, name=f"shared-{index}").wait()
            began = time.monotonic()
            for host in cluster.hosts:
                wait_until_served(host, job.record["model"])
            delays.append(time.monotonic() - began)
    return Row(
        f"{len(cluster.hosts)} APIs, {len(cluster.hosts)} workers, one database, one store",
        "a version served by all within 5 s",
        f"median {statistics.median(delays):.1f} s, at most {max(delays):.1f} s",
        max(delays) <= 5,
    )


def flip_bytes(cluster: Cluster) -> Row:
    """Changes one byte of the newest version and one of an upload, in the store itself, while the service is off."""
    host = cluster.hosts[0]
    with host.client() as client:
        results = [client.train(**SHORT, name="flipped", seed=seed).wait().result or {} for seed in (1, 2)]
        dataset = client.upload(SERIES)["id"]
    host.switch_off(signal.SIGTERM)
    store = cluster.folder / "models_store"
    for path in (
        next((store / "flipped" / str(results[-1]["version"]) / "variables").glob("*.data*")),
        max((host.folder / "state" / "datasets" / dataset).iterdir(), key=lambda path: path.stat().st_size),
    ):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x40
        path.write_bytes(content)
    # It is loaded by TensorFlow, whose files are changed, and not from the graphs beside them.
    host.environment["OUTFIELDER_ENGINE"] = "savedmodel"
    host.switch_on()
    wait_for(host.is_ready, "ready again", READY_SECONDS, host)
    with httpx.Client(base_url=host.url, timeout=120) as http:
        body = {"model": "flipped", "series": SERIES}
        refused = http.post("/forecast", json={**body, "version": results[-1]["version"]})
        served = http.post("/forecast", json=body)
        upload = http.post("/forecast", json={"dataset": dataset})
        ready, metrics = http.get("/readyz"), http.get("/metrics")
    damaged = [line for line in metrics.text.splitlines() if line.startswith("outfielder_damaged_entries ")]
    version = served.json().get("version")
    return Row(
        "a flipped byte in a version, and in an upload",
        "refused with a clear error; the previous version serves; /readyz and /metrics say so",
        f"version {results[-1]['version']}: {refused.status_code} {_code(refused)}; version {version} serves; "
        f"upload: {upload.status_code} {_code(upload)}; /readyz {'names' if 'flipped' in ready.text else 'hides'} it; "
        f"{damaged}",
        _code(refused) == "version_damaged" and version == results[0]["version"] and _code(upload) == "dataset_damaged"
        and "flipped" in ready.text and damaged != ["outfielder_damaged_entries 0.0"],
    )  # fmt: skip


def _code(answer: httpx.Response) -> str:
    """The code of a problem; the empty text for an answer that is none."""
    return str(answer.json().get("type", "")).rpartition(":")[2]


def _weights(client: Any, result: dict[str, Any]) -> dict[str, str]:
    """The checksums of a version's variables."""
    manifest = client.version(result["model"], result["version"])
    return {path: digest for path, digest in manifest["files"].items() if path.startswith("variables/")}
