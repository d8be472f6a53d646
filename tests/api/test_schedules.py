"""Schedules: made, changed, and run when they are due, once, whatever number of servers look at them."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.storage.object_storage import ObjectStorage
from tests.api.server import assert_problem, client, running, wait_until

WAVES = {"architecture": "linear", "name": "nightly"}
NIGHTLY = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "train": WAVES}
SERIES = {"north": [float(i % 12) for i in range(240)], "south": [float(i % 6) for i in range(240)]}
MINUTE_MS = 60_000


@pytest.fixture
def http(tmp_path: Path) -> Iterator[httpx.Client]:
    with client(tmp_path / "store", tmp_path / "state") as http:
        yield http


def make(http: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = http.post("/schedules", json={**NIGHTLY, **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/schedules/{answer.json()['id']}"
    made: dict[str, Any] = answer.json()
    return made


def get(http: httpx.Client, schedule: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/schedules/{schedule['id']}").json()
    return found


def set_time(state: Path, schedule: dict[str, Any], **offsets_ms: int) -> None:
    """Sets times of a schedule, relative to now, as if so long had passed."""
    now = round(time.time() * 1000)
    with closing(sqlite3.connect(state / "jobs.sqlite", timeout=30)) as connection, connection:
        for column, offset in offsets_ms.items():
            connection.execute(
                f"UPDATE outfielder_schedules SET {column} = ? WHERE id = ?", (now + offset, schedule["id"])
            )


def wait_for_run(http: httpx.Client, schedule: dict[str, Any], count: int = 1) -> dict[str, Any]:
    wait_until(lambda: len(get(http, schedule)["runs"]) >= count)
    run: dict[str, Any] = get(http, schedule)["runs"][0]
    return run


def test_a_schedule_is_made_listed_changed_paused_and_removed(http: httpx.Client) -> None:
    first = make(http)
    assert first["train"] == WAVES
    assert first["runs"] == []
    assert first["next_at"] > first["created_at"]
    second = make(http, cron="@weekly", paused=True)
    assert second["next_at"] is None
    assert [one["id"] for one in http.get("/schedules").json()["schedules"]] == [second["id"], first["id"]]
    assert get(http, first) == first

    path = f"/schedules/{first['id']}"
    changed = http.patch(path, json={"cron": "30 4 * * *", "timezone": "UTC"}).json()
    assert changed["next_at"].endswith("T04:30:00.000Z")
    assert changed["train"] == WAVES
    assert http.patch(path, json={"paused": True}).json()["next_at"] is None
    assert http.patch(path, json={"paused": False}).json()["next_at"] == changed["next_at"]

    assert http.delete(path).status_code == 204
    assert_problem(http.get(path), 404, "schedule_not_found")
    assert_problem(http.delete(path), 404, "schedule_not_found")
    assert_problem(http.patch(path, json={"paused": True}), 404, "schedule_not_found")
    assert_problem(http.post(f"{path}/run"), 404, "schedule_not_found")


def test_the_same_key_makes_one_schedule(http: httpx.Client) -> None:
    key = {"Idempotency-Key": "nightly"}
    first = http.post("/schedules", json=NIGHTLY, headers=key)
    again = http.post("/schedules", json=NIGHTLY, headers=key)
    assert first.json() == again.json()
    assert len(http.get("/schedules").json()["schedules"]) == 1
    other = http.post("/schedules", json={**NIGHTLY, "cron": "@daily"}, headers=key)
    assert_problem(other, 409, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"cron": "every day"}, "/cron", "bad_cron"),
        ({"timezone": "Mars"}, "/timezone", "unknown_timezone"),
        ({"train": {"architecture": "lsmt"}}, "/train/architecture", None),
        ({"train": {"architecture": "lstm", "epochs": 0}}, "/train/epochs", None),
        ({"train": {"architecture": "naive", "epochs": 3}}, "/train/epochs", "option_not_applicable"),
        ({"train": {**WAVES, "data": {"kind": "series", "series": [1, 2, 3]}}}, "", "schedule_needs_dataset"),
        ({"train": None}, "/train", None),
        ({"whenever": 1}, "/whenever", "unknown_field"),
    ],
)
def test_what_can_not_be_scheduled_is_refused_at_once(
    http: httpx.Client, fields: dict[str, Any], pointer: str, code: str | None
) -> None:
    answer = http.post("/schedules", json={**NIGHTLY, **fields})
    document = answer.json()
    assert answer.status_code == 422, answer.text
    errors = [(entry["pointer"], entry["code"]) for entry in document["errors"]]
    assert any(found == pointer and code in (None, word) for found, word in errors), errors
    assert http.get("/schedules").json()["schedules"] == []


def test_a_change_says_something(http: httpx.Client) -> None:
    schedule = make(http)
    assert_problem(http.patch(f"/schedules/{schedule['id']}", json={}), 422, "missing_field")
    assert get(http, schedule) == schedule


def test_two_servers_run_a_schedule_that_is_due_once_and_late_ones_once_only(tmp_path: Path) -> None:
    with (
        client(tmp_path / "store", tmp_path / "state") as http,
        running(tmp_path / "store", tmp_path / "state"),
    ):
        schedule = make(http, cron="* * * * *")
        # So long ago that it was due many times since.
        set_time(tmp_path / "state", schedule, next_ms=-90 * MINUTE_MS)
        run = wait_for_run(http, schedule)
        jobs = http.get("/jobs").json()["jobs"]
        assert [job["id"] for job in jobs] == run["jobs"]
        assert jobs[0]["request"] == WAVES
        assert run["error"] is None
        assert get(http, schedule)["next_at"] > run["due_at"]
        text = http.get("/metrics").text
        assert "outfielder_scheduled_runs_total" in text


def test_a_time_that_a_dead_server_had_taken_is_run_by_another(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with client(tmp_path / "store", state) as http:
        schedule = make(http)
        set_time(state, schedule, claimed_until_ms=3 * MINUTE_MS, next_ms=-MINUTE_MS)
        other = make(http)
        set_time(state, other, next_ms=-MINUTE_MS)
        wait_for_run(http, other)
        assert get(http, schedule)["runs"] == []
        set_time(state, schedule, claimed_until_ms=-1)
        assert wait_for_run(http, schedule)["jobs"]


def test_while_its_last_jobs_have_not_ended_a_schedule_submits_none(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state") as http:
        schedule = make(http)
        path = f"/schedules/{schedule['id']}"
        ran = http.post(f"{path}/run")
        assert ran.status_code == 202
        (job_id,) = ran.json()["runs"][0]["jobs"]
        assert ran.json()["next_at"] == schedule["next_at"]
        assert_problem(http.post(f"{path}/run"), 409, "last_run_active")
        set_time(tmp_path / "state", schedule, next_ms=-MINUTE_MS)
        assert wait_for_run(http, schedule, 2)["error"]["code"] == "last_run_active"
        assert len(http.get("/jobs").json()["jobs"]) == 1
        http.post(f"/jobs/{job_id}/cancel")
        assert http.post(f"{path}/run").status_code == 202


def test_a_run_by_hand_is_begun_once_for_a_key(http: httpx.Client) -> None:
    schedule = make(http)
    path, key = f"/schedules/{schedule['id']}/run", {"Idempotency-Key": "now"}
    first, again = http.post(path, headers=key), http.post(path, headers=key)
    assert first.json() == again.json()
    assert len(http.get("/jobs").json()["jobs"]) == 1


def test_a_schedule_keeps_the_upload_that_it_trains_on(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state") as http:
        dataset = http.post("/datasets", json={"series": SERIES, "freq": "MS"}).json()
        train = {
            "architecture": "linear",
            "name": "sales",
            "horizon": 6,
            "data": {"kind": "dataset", "id": dataset["id"]},
        }
        schedule = make(http, train=train)
        assert_problem(http.delete(f"/datasets/{dataset['id']}"), 409, "dataset_in_use")
        set_time(tmp_path / "state", schedule, next_ms=-MINUTE_MS)
        (job_id,) = wait_for_run(http, schedule)["jobs"]
        assert http.get(f"/jobs/{job_id}").json()["request"]["data"]["id"] == dataset["id"]
        http.post(f"/jobs/{job_id}/cancel")
        http.delete(f"/schedules/{schedule['id']}")
        assert http.delete(f"/datasets/{dataset['id']}").status_code == 204


def test_an_upload_that_is_gone_is_told_and_the_schedule_goes_on(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state") as http:
        train = {**WAVES, "data": {"kind": "dataset", "id": "0" * 32}}
        assert_problem(http.post("/schedules", json={**NIGHTLY, "train": train}), 404, "dataset_not_found")
        dataset = http.post("/datasets", json={"series": SERIES, "freq": "MS"}).json()
        schedule = make(http, train={**WAVES, "horizon": 6, "data": {"kind": "dataset", "id": dataset["id"]}})
        for file in (tmp_path / "state" / "datasets" / dataset["id"]).iterdir():
            file.unlink()
        (tmp_path / "state" / "datasets" / dataset["id"]).rmdir()
        set_time(tmp_path / "state", schedule, next_ms=-MINUTE_MS)
        run = wait_for_run(http, schedule)
        assert run["jobs"] == []
        assert run["error"]["code"] == "dataset_not_found"
        assert get(http, schedule)["next_at"] is not None


def test_a_time_that_a_clock_in_the_future_left_behind_is_put_right(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state") as http:
        schedule = make(http)
        set_time(tmp_path / "state", schedule, next_ms=365 * 24 * 60 * MINUTE_MS)
        wait_until(lambda: get(http, schedule)["next_at"] == schedule["next_at"])
        assert get(http, schedule)["runs"] == []


def rows(count: int) -> bytes:
    """Days of two shops as a CSV file with columns of its own."""
    lines = ["shop,day,sold"]
    for shop in ("north", "south"):
        lines += [f"{shop},{date(2026, 1, 1) + timedelta(i)},{i % 7 + len(shop)}" for i in range(count)]
    return "\n".join(lines).encode()


SOLD = {"id_column": "shop", "time_column": "day", "target_column": "sold"}
DAILY = {"architecture": "linear", "name": "sold", "horizon": 7}


def test_each_run_trains_on_what_the_file_of_an_object_store_holds_then(tmp_path: Path, s3_url: str) -> None:
    exports = ObjectStorage(s3_url)
    exports.put("sold.csv", rows(120))
    with client(tmp_path / "store", tmp_path / "state", sources=s3_url) as http:
        schedule = make(http, train=DAILY, source={"url": f"{s3_url}/sold.csv", **SOLD})
        path = f"/schedules/{schedule['id']}/run"
        key = {"Idempotency-Key": "first"}
        first = http.post(path, headers=key).json()["runs"][0]
        assert http.get(f"/datasets/{first['dataset']}").json()["n_points"] == 240
        assert_problem(http.delete(f"/datasets/{first['dataset']}"), 409, "dataset_in_use")
        # The same run again, of a file that has changed meanwhile, is still the first one.
        table = pa.table({"shop": ["a"] * 300, "day": pa.array(range(300), pa.date32()), "sold": [1.0, 2.0, 4.0] * 100})
        pq.write_table(table, tmp_path / "sold.parquet")
        exports.put("sold.csv", (tmp_path / "sold.parquet").read_bytes())
        assert http.post(path, headers=key).json()["runs"] == [first]

        http.post(f"/jobs/{first['jobs'][0]}/cancel")
        second = http.post(path).json()["runs"][0]
        assert http.get(f"/datasets/{second['dataset']}").json()["n_points"] == 300
        assert http.get(f"/jobs/{second['jobs'][0]}").json()["request"]["data"]["id"] == second["dataset"]
        assert_problem(http.get(f"/datasets/{first['dataset']}"), 404, "dataset_not_found")

        http.post(f"/jobs/{second['jobs'][0]}/cancel")
        retried = http.post(f"/jobs/{second['jobs'][0]}/retry").json()
        exports.put("sold.csv", rows(130))
        third = http.post(path).json()["runs"][0]
        # A job reads it still.
        assert http.get(f"/datasets/{second['dataset']}").status_code == 200
        for job_id in (retried["id"], third["jobs"][0]):
            http.post(f"/jobs/{job_id}/cancel")

        n_uploads = len(http.get("/datasets").json()["datasets"])
        exports.put("sold.csv", rows(5))
        assert http.post(path).status_code == 422
        assert len(http.get("/datasets").json()["datasets"]) == n_uploads
        set_time(tmp_path / "state", schedule, next_ms=-MINUTE_MS)
        wait_until(lambda: get(http, schedule)["runs"][0]["error"] is not None)
        failed = get(http, schedule)["runs"][0]
        assert failed["dataset"] is not None
        exports.put("sold.csv", rows(140))
        http.post(path)
        assert_problem(http.get(f"/datasets/{failed['dataset']}"), 404, "dataset_not_found")
        http.post(f"/jobs/{get(http, schedule)['runs'][0]['jobs'][0]}/cancel")

        exports.delete(["sold.csv"])
        assert_problem(http.post(path), 404, "source_not_found")
        exports.put("sold.csv", b"shop,day\nnorth,2026-01-01\n")
        assert http.post(path).status_code == 422


def test_an_object_store_that_can_not_be_opened_is_said_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with client(tmp_path / "store", tmp_path / "state", sources="az://container/exports") as http:
        schedule = make(http, train=DAILY, source={"url": "az://container/exports/sold.csv", **SOLD})
        assert_problem(http.post(f"/schedules/{schedule['id']}/run"), 503, "storage_unavailable")


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/elsewhere/sold.csv",
        "s3://bucket/exports",
        "s3://bucket/exports2/sold.csv",
        "s3://bucket/exports/../secret.csv",
        "s3://other/exports/sold.csv",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "s3://user:password@bucket/exports/sold.csv",
        "sold.csv",
        "",
    ],
)
def test_files_are_read_from_where_the_server_may_read_alone(tmp_path: Path, url: str) -> None:
    with client(tmp_path / "store", tmp_path / "state", sources="s3://bucket/exports") as http:
        answer = http.post("/schedules", json={**NIGHTLY, "train": DAILY, "source": {"url": url}})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/source/url"
        assert "password" not in answer.text


def test_a_source_is_checked_when_the_schedule_is_made(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state", sources="s3://bucket/exports/") as http:
        source = {"url": "s3://bucket/exports/sold.csv"}
        both = {**NIGHTLY, "train": {**DAILY, "data": {"kind": "synthetic"}}, "source": source}
        assert_problem(http.post("/schedules", json=both), 422, "conflicting_fields")
        wrong = {**NIGHTLY, "train": DAILY, "source": {**source, "decimal": "x"}}
        assert http.post("/schedules", json=wrong).json()["errors"][0]["pointer"] == "/source/decimal"
        odd = {**NIGHTLY, "train": {"architecture": "naive", "epochs": 3}, "source": source}
        assert http.post("/schedules", json=odd).json()["errors"][0]["pointer"] == "/train/epochs"
        made = make(http, train={**DAILY, "season": 7}, source={**source, "freq": "D"})
        change = {"train": {**DAILY, "data": {"kind": "synthetic"}}}
        assert_problem(http.patch(f"/schedules/{made['id']}", json=change), 422, "conflicting_fields", "/train/data")
        assert http.patch(f"/schedules/{made['id']}", json={"train": {**DAILY, "season": 7}}).status_code == 200
        assert made["source"] == {**source, "freq": "D"}
    with client(tmp_path / "other", tmp_path / "elsewhere") as http:
        answer = http.post("/schedules", json={**NIGHTLY, "train": DAILY, "source": source})
        assert_problem(answer, 422, "source_not_allowed", "/source/url")
