"""The API while the job database, a real PostgreSQL, is away."""

from pathlib import Path

import httpx

from tests.api.server import assert_problem, client
from tests.api.test_operations import read_metric
from tests.postgres import PostgresServer

SERIES = [float(value) for value in range(60)]


def forecast(http: httpx.Client) -> int:
    return http.post("/forecast", json={"model": "lstm", "series": SERIES}).status_code


def test_forecasts_are_served_while_the_job_database_is_away_and_all_else_says_so(
    stored_kinds: Path, tmp_path: Path, postgres: PostgresServer, postgres_url: str
) -> None:
    with client(stored_kinds, tmp_path, database_url=postgres_url) as http:
        assert http.get("/readyz").status_code == 200
        assert read_metric(http, "outfielder_job_database_up") == 1
        job = http.post("/train", json={"architecture": "naive"}).json()
        assert job["status"] == "queued"
        postgres.stop()
        try:
            for response in (
                http.get("/readyz"),
                http.get("/jobs"),
                http.get(f"/jobs/{job['id']}"),
                http.post("/train", json={"architecture": "naive"}),
                http.post(f"/jobs/{job['id']}/cancel"),
            ):
                assert_problem(response, 503, "database_unavailable")
                assert int(response.headers["retry-after"]) >= 1
            assert read_metric(http, "outfielder_job_database_up") == 0
            assert http.get("/healthz").status_code == 200
            assert [forecast(http) for _ in range(5)] == [200] * 5
        finally:
            postgres.start()
        assert http.get("/readyz").status_code == 200
        assert http.get(f"/jobs/{job['id']}").json() == job
        assert http.post("/train", json={"architecture": "naive"}).status_code == 202


def test_an_api_that_starts_without_its_database_serves_forecasts_and_uses_it_when_it_comes(
    stored_kinds: Path, tmp_path: Path, postgres: PostgresServer, postgres_url: str
) -> None:
    postgres.stop()
    try:
        with client(stored_kinds, tmp_path, database_url=postgres_url) as http:
            assert_problem(http.get("/readyz"), 503, "database_unavailable")
            assert forecast(http) == 200
            postgres.start()
            assert http.get("/readyz").status_code == 200
            assert http.post("/train", json={"architecture": "naive"}).status_code == 202
    finally:
        if not postgres.is_running:
            postgres.start()
