"""Two machines, each a folder of its own, that share a store in an S3-compatible server and a job database."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from service.storage.private_files import OURS
from tests.end_to_end.processes import Processes
from tests.s3 import S3

SERIES = [float(i % 12 + i) for i in range(60)]


@pytest.fixture(scope="module")
def machines(s3_server: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Processes, Processes]]:
    folder = tmp_path_factory.mktemp("machines")
    shared = {
        **s3_server.environment,
        "OUTFIELDER_MODELS_STORE": f"s3://{s3_server.make_bucket()}/models",
        "OUTFIELDER_DATABASE_URL": f"sqlite:///{folder}/jobs.sqlite",
        "OUTFIELDER_KEEP_VERSIONS": "1",
    }
    made = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        made.append(Processes(folder / name, **shared))
    one, two = made
    one.start("serve")
    two.start("serve")
    two.start("worker")
    one.wait_until_ready()
    two.wait_until_ready()
    yield one, two
    s3_server.fail("")
    for machine in made:
        machine.close()


def packaged(machine: Processes) -> list[int]:
    """The versions of the package's model."""
    versions: list[int] = machine.client.get("/models/zero-shot").json()["versions"]
    return versions


def serves(machine: Processes, name: str) -> bool:
    answer = machine.client.post("/forecast", json={"model": name, "series": SERIES})
    assert answer.status_code in (200, 404), answer.text
    return answer.status_code == 200


def is_damaged(machine: Processes) -> bool:
    return "damaged" in machine.client.get("/readyz").json()


def is_sound(machine: Processes) -> bool:
    return not is_damaged(machine)


def test_what_a_worker_publishes_is_served_by_all(machines: tuple[Processes, Processes]) -> None:
    one, two = machines
    # The package's model went there once, from whichever was first to finish: where the other had begun, as version 2.
    assert packaged(one) == packaged(two)
    assert len(packaged(one)) == 1
    job = one.train(architecture="linear", name="shared")
    one.wait_for_job(job["id"])
    for machine in machines:
        machine.wait_until(partial(serves, machine, "shared"), "served")
    assert one.client.put("/models/shared/aliases/stable", json={"version": 1}).status_code == 200
    two.wait_until(lambda: two.client.get("/models/shared").json()["aliases"] == {"stable": 1}, "the alias")
    assert two.client.delete("/models/shared/versions/1").status_code == 409
    assert two.client.put("/models/default", json={"name": "shared"}).status_code == 200
    one.wait_until(lambda: one.client.get("/models/shared").json()["is_default"], "the default")


def test_an_upload_to_one_machine_is_trained_on_and_forecast_by_another(machines: tuple[Processes, Processes]) -> None:
    one, two = machines
    kept = one.client.post("/datasets", json={"series": {"a": SERIES, "b": SERIES[::-1]}}).json()
    assert [dataset["id"] for dataset in two.client.get("/datasets").json()["datasets"]] == [kept["id"]]
    answer = two.client.post("/forecast", json={"model": "zero-shot", "dataset": kept["id"]})
    assert [forecast["id"] for forecast in answer.json()["forecasts"]] == ["a", "b"]
    # The worker is on the other machine.
    for data in ({"kind": "dataset", "id": kept["id"]}, {"kind": "series", "series": [SERIES, SERIES]}):
        job = one.train(architecture="linear", name="own", data=data, epochs=2)
        one.wait_for_job(job["id"])
    assert two.client.delete(f"/datasets/{kept['id']}").status_code == 204
    assert one.client.get("/datasets").json()["datasets"] == []


def test_while_the_store_is_away_forecasts_are_served_and_a_job_waits(
    machines: tuple[Processes, Processes], s3_server: S3
) -> None:
    one, two = machines
    [version] = packaged(one)
    job = one.train(architecture="linear", name="waiting", epochs=1)
    s3_server.fail("500")
    # Back again in any case: the machines are those of other tests too.
    try:
        for machine in machines:
            machine.wait_until(partial(is_damaged, machine), "it is told")
            ready = machine.client.get("/readyz")
            assert ready.status_code == 200
            assert "can't be read since" in ready.json()["damaged"][0]["reason"]
            assert "outfielder_store_failures 0.0" not in machine.client.get("/metrics").text
        for _ in range(10):
            assert serves(one, "zero-shot")
            assert serves(two, "zero-shot")
            time.sleep(0.2)
        assert one.client.put("/models/zero-shot/aliases/stable", json={"version": version}).status_code == 503
    finally:
        s3_server.fail("")
    one.wait_for_job(job["id"])
    for machine in machines:
        machine.wait_until(partial(serves, machine, "waiting"), "served")
        machine.wait_until(partial(is_sound, machine), "mended")


def test_the_last_versions_are_kept_and_what_aliases_name(machines: tuple[Processes, Processes]) -> None:
    one, _ = machines
    for _ in range(2):
        job = one.train(architecture="linear", name="shared")
        one.wait_for_job(job["id"])

    def versions() -> bool:
        return bool(one.client.get("/models/shared").json()["versions"] == [1, 3])

    one.wait_until(versions, "the last, and the one with an alias")


def test_a_machine_keeps_its_copy_in_its_own_folder(machines: tuple[Processes, Processes]) -> None:
    for machine in machines:
        [version] = packaged(machine)
        copies = list((machine.folder / "state" / "store-cache").glob(f"*/zero-shot/{version}/manifest.json"))
        assert len(copies) == 1
        assert not Path(machine.folder / "models_store").exists()


def test_all_that_is_in_a_state_folder_is_known_to_be_the_services(machines: tuple[Processes, Processes]) -> None:
    for machine in machines:
        names = [path.name for path in (machine.folder / "state").iterdir()]
        assert [name for name in names if not name.startswith(OURS)] == []
