"""Health, readiness, metrics, documentation pages, keys."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.server import assert_problem, client, wait_until

OPEN_PATHS = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/docs/assets/swagger-ui.css",
    "/",
    "/web/app.js",
]


def read_metric(http: httpx.Client, line: str) -> float:
    found = re.search(rf"^{re.escape(line)} (\S+)$", http.get("/metrics").text, re.M)
    return 0.0 if found is None else float(found[1])


def test_an_empty_store_is_alive_and_ready(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state") as http:
        assert http.get("/healthz").json() == {"status": "alive"}
        assert http.get("/readyz").json() == {"status": "ready"}
        assert http.get("/models").json() == {"models": [], "next_cursor": None}


def test_a_server_is_not_ready_until_the_models_to_be_preloaded_are(stored_kinds: Path, tmp_path: Path) -> None:
    with client(stored_kinds, tmp_path, preload="lstm,nobody") as http:
        response = http.get("/readyz")
        assert_problem(response, 503, "not_ready")
        assert int(response.headers["retry-after"]) >= 1
        assert http.get("/healthz").status_code == 200
    with client(stored_kinds, tmp_path, preload="lstm,whole") as http:
        wait_until(lambda: http.get("/readyz").status_code == 200)
        assert read_metric(http, "outfielder_loaded_versions") == 2


def test_a_store_that_can_not_be_read_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    with client(tmp_path / "store", tmp_path / "state") as http:
        response = http.get("/readyz")
        assert_problem(response, 503, "store_unreadable")
        assert str(tmp_path) not in response.text
        (tmp_path / "store").unlink()
        wait_until(lambda: http.get("/readyz").status_code == 200)


def test_metrics_count_requests_by_route_and_forecasts_by_model(http: httpx.Client) -> None:
    requests = 'outfielder_requests_total{method="POST",route="/forecast",status="200"}'
    forecasts = 'outfielder_forecasts_total{mode="sequence",model="whole"}'
    before = read_metric(http, requests), read_metric(http, forecasts)
    http.post("/forecast", json={"model": "whole", "series": [[1, 2, 3, 4], [1, 2], [2, 3, 4, 5]]})
    assert (read_metric(http, requests), read_metric(http, forecasts)) == (before[0] + 1, before[1] + 2)
    assert read_metric(http, 'outfielder_jobs{status="queued"}') == 0
    assert read_metric(http, "outfielder_forecasts_waiting") == 0


def test_metrics_have_no_more_labels_whatever_is_asked_for(http: httpx.Client) -> None:
    def count_lines() -> int:
        return len(http.get("/metrics").text.splitlines())

    for method, path in (("GET", "/models/first"), ("GET", "/first"), ("BREW", "/first")):
        http.request(method, path)
    before = count_lines()
    for i in range(30):
        http.get(f"/models/m{i}")
        http.get(f"/nothing/{i}")
        http.request(f"BREW{i}", f"/nothing/{i}")
        http.post("/forecast", json={"model": f"m{i}", "series": [1]})
    assert count_lines() <= before + 25  # the refused forecasts' own counter and histogram, once
    assert 'route="unmatched"' in http.get("/metrics").text


def test_the_docs_need_no_other_server(http: httpx.Client) -> None:
    page = http.get("/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {link.partition("/docs/assets/")[0] for link in links} == {""}
    for link in links:
        asset = http.get(link)
        assert asset.status_code == 200
        assert len(asset.content) > 1000
    assert "https://" not in page
    assert http.get("/openapi.json").status_code == 200


@pytest.fixture(scope="module")
def guarded(stored_kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    state_dir = tmp_path_factory.mktemp("guarded")
    (state_dir / "keys").write_text("# for the night job\nthird\n")
    with client(stored_kinds, state_dir, api_keys="first, schlüssel", api_keys_file=state_dir / "keys") as http:
        yield http


@pytest.mark.parametrize("key", ["first", "schlüssel", "third"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_known_key_is_let_in(guarded: httpx.Client, key: str, scheme: str) -> None:
    headers = [(b"Authorization", f"{scheme} {key}".encode())]
    assert guarded.get("/models", headers=headers).status_code == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer second", "Bearer firs", "Basic first", "first"])
def test_without_a_known_key_nothing_is_done(guarded: httpx.Client, value: str) -> None:
    headers = {"Authorization": value} if value else {}
    for method, path in (("GET", "/models"), ("POST", "/forecast"), ("DELETE", "/models/lstm/versions/1")):
        response = guarded.request(method, path, headers=headers)
        assert_problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
    assert_problem(guarded.get("/nothing", headers=headers), 401, "unauthorized")


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_some_paths_ask_for_no_key(guarded: httpx.Client, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_the_schema_says_that_keys_are_asked_for(guarded: httpx.Client, http: httpx.Client) -> None:
    assert guarded.get("/openapi.json").json()["security"] == [{"key": []}]
    assert "security" not in http.get("/openapi.json").json()
