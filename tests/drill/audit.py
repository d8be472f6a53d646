"""What must hold of jobs and versions whatever happened to the processes."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from outfielder_client import Client, RequestRefused
from tests.drill.cluster import Host, wait_for

# In which every server has seen what there is.
SETTLED_SECONDS = 5.0
SERIES = [float(i % 5) + i / 40 for i in range(80)]


@dataclass(frozen=True)
class Audit:
    """The state of a service after a drill; `flaws` is empty where all is as it must be."""

    succeeded: int
    failed: int
    versions: int
    flaws: tuple[str, ...]


def audit(host: Host, job_ids: Sequence[str], *, seconds: float) -> Audit:
    """Waits until all jobs have ended, then compares them with the versions that there are.

    Every job ended once; each that succeeded has one version, which loads, has the checksums of its manifest, and
    forecasts; no other job has one.
    """
    with host.client() as client:
        jobs = [_wait_for_end(client, job_id, seconds, host) for job_id in dict.fromkeys(job_ids)]
        flaws = [f"job {job['id']} failed: {job['error']}" for job in jobs if _is_wrong_end(job)]
        for job in jobs:
            if job["status"] == "succeeded":
                # Lists follow within seconds; a version that is asked for is looked for at once.
                flaws += [flaw for flaw in [_find_version(client, job)] if flaw is not None]
        time.sleep(SETTLED_SECONDS)
        manifests = [
            client.version(model["name"], version)
            for model in client.models()
            for version in model["versions"]
            if not model["name"].startswith("zero")
        ]
        of_job = Counter(manifest["job_id"] for manifest in manifests)
        succeeded = {job["id"]: job for job in jobs if job["status"] == "succeeded"}
        flaws += [f"job {job_id} published {count} versions" for job_id, count in of_job.items() if count > 1]
        flaws += [f"job {job_id} has no version" for job_id in succeeded if job_id not in of_job]
        flaws += [f"version of job {job_id}, which did not succeed" for job_id in of_job if job_id not in succeeded]
        flaws += [flaw for manifest in manifests if (flaw := _try_version(host, manifest)) is not None]
        checked = host.run("check-store")
        if checked.returncode:
            flaws.append(f"check-store: {checked.stdout.strip()}")
        failed = sum(job["status"] == "failed" for job in jobs)
        return Audit(len(succeeded), failed, len(manifests), tuple(flaws))


def _wait_for_end(client: Client, job_id: str, seconds: float, host: Host) -> dict[str, Any]:
    def find_ended() -> dict[str, Any] | None:
        job: dict[str, Any] = client.job(job_id)
        return job if job["status"] in ("succeeded", "failed", "cancelled") else None

    ended: dict[str, Any] = wait_for(find_ended, f"end of job {job_id}", seconds, host)
    return ended


def _is_wrong_end(job: dict[str, Any]) -> bool:
    # Three deaths are an end that is meant to be: of the worker, of the job's process, or of the one that exports.
    error = job["error"] or {}
    has_died = error.get("code") == "worker_died" or "ended 3 times" in error.get("message", "")
    return bool(job["status"] == "cancelled" or (job["status"] == "failed" and not has_died))


def _find_version(client: Client, job: dict[str, Any]) -> str | None:
    result = job["result"]
    try:
        manifest = client.version(result["model"], result["version"])
    except RequestRefused as error:
        return f"job {job['id']} succeeded, but {result['model']}/{result['version']} is not there: {error}"
    return None if manifest["job_id"] == job["id"] else f"the version of job {job['id']} is of {manifest['job_id']}"


def _try_version(host: Host, manifest: dict[str, Any]) -> str | None:
    name, version = manifest["name"], manifest["version"]
    body = {"model": name, "version": version, "series": SERIES}
    answer = httpx.post(f"{host.url}/forecast", json=body, timeout=120)
    if answer.status_code != 200:
        return f"{name}/{version} does not answer: {answer.text[:300]}"
    values = answer.json()["forecasts"][0].get("values", [])
    return None if values and all(map(math.isfinite, values)) else f"{name}/{version} forecasts {values}"
