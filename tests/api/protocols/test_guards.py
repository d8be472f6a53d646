"""What guards the service's own routes guards those of other servers' protocols, and refuses in their form."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.protocols.native import SERIES, assert_refused
from tests.api.server import assert_problem, client

PATHS = ["/v1/models/lstm:predict", "/v2/models/lstm/infer"]
BODIES = {
    "/v1/models/lstm:predict": {"instances": SERIES},
    "/v2/models/lstm/infer": {
        "inputs": [
            {"name": "series", "shape": [2, 6], "datatype": "FP64", "data": [value for row in SERIES for value in row]}
        ]
    },
}


def test_keys_are_asked_for_but_not_by_probes(store: Path, tmp_path: Path) -> None:
    with client(store, tmp_path, api_keys="secret") as http:
        for path in PATHS:
            response = http.post(path, json=BODIES[path])
            assert_refused(response, 401, "requires an API key")
            assert response.headers["www-authenticate"] == "Bearer"
            key = {"Authorization": "Bearer secret"}
            assert http.post(path, json=BODIES[path], headers=key).status_code == 200
        assert_refused(http.get("/v1/models/lstm"), 401)
        assert_refused(http.get("/v2"), 401)
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert http.get(path).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_pages_of_other_sites_may_not_call(http: httpx.Client, path: str) -> None:
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        headers = {"Origin": "https://evil.example", "Content-Type": content_type}
        assert_refused(http.post(path, json=BODIES[path], headers=headers), 403, "evil.example")
    assert_refused(http.post(path, json=BODIES[path], headers={"Host": "evil.example"}), 403, "evil.example")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PATHS[0], {"instances": [[1.0]] * 101}),
        (PATHS[1], {"inputs": [{"name": "series", "shape": [101, 1], "datatype": "FP64", "data": [1.0] * 101}]}),
    ],
)
def test_limits_hold(store: Path, tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    with client(store, tmp_path, max_body_bytes=2000, max_answer_values=1000, max_body_series=150) as http:
        assert_refused(http.post(path, content=b"x" * 2001), 413, "2000 bytes")
        assert_refused(http.post(path, json=body), 400, "at most 1000")


def test_bytes_hold_no_more_series_and_values_than_json(store: Path, tmp_path: Path) -> None:
    with client(store, tmp_path, max_body_values=1000, max_body_series=10) as http:
        for shape, word in (([11, 1], "more than 10 series"), ([2, 501], "more than 1000 values")):
            posted = {"name": "series", "shape": shape, "datatype": "INT8"}
            size = shape[0] * shape[1]
            header = json.dumps({"inputs": [{**posted, "parameters": {"binary_data_size": size}}]}).encode()
            headers = {"Inference-Header-Content-Length": str(len(header))}
            assert_refused(http.post(PATHS[1], content=header + bytes(size), headers=headers), 400, word)


def test_a_deadline_holds(http: httpx.Client) -> None:
    path = PATHS[1]
    headers = {"X-Request-Timeout-Ms": "soon"}
    assert_refused(http.post(path, json=BODIES[path], headers=headers), 400, "X-Request-Timeout-Ms")


def test_request_ids_come_back(http: httpx.Client) -> None:
    for path in PATHS:
        response = http.post(path, json=BODIES[path], headers={"X-Request-ID": "mine"})
        assert response.headers["x-request-id"] == "mine"


def test_metrics_name_routes_and_not_paths(http: httpx.Client) -> None:
    for path in PATHS:
        http.post(path, json=BODIES[path])
    http.get("/v1/models/some-name/versions/7")
    http.get("/v2/models/some-name/ready")
    text = http.get("/metrics").text
    assert 'route="/v1/models/{name}:{verb}"' in text
    assert 'route="/v2/models/{name}/infer"' in text
    assert "some-name" not in text


def test_a_proxys_path_is_taken_off_before_the_form_is_chosen(store: Path, tmp_path: Path) -> None:
    with client(store, tmp_path, root_path="/ai") as http:
        assert_refused(http.get("/ai/v1/models/nobody"), 404)
        assert http.post("/ai" + PATHS[0], json=BODIES[PATHS[0]]).status_code == 200
        # Not below the protocol's paths.
        assert_problem(http.get("/ai/models/v1/x"), 404, "route_not_found")


def test_head_answers_as_get_without_a_body(http: httpx.Client) -> None:
    for path in ("/v1/models/lstm", "/v1/models/nobody", "/v2/models/lstm", "/v2/models/nobody"):
        head, get = http.head(path), http.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
