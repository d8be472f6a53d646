"""Whatever a client sends, it is told what was wrong, and the next client is served."""

import gzip
import json
import socket
from typing import Any

import httpx
import pytest

from tests.api.server import assert_problem

JSON = {"Content-Type": "application/json"}
# Of 15 days one was measured.
GAPPY = [float(i) if i % 15 == 5 else None for i in range(150)]
LONG = [float(i % 7) for i in range(100)]
GOOD = {"model": "whole", "series": [1, 2, 3, 4, 5]}


@pytest.fixture(autouse=True)
def _the_next_request_is_served(http: httpx.Client) -> Any:
    yield
    assert http.post("/forecast", json=GOOD).status_code == 200


RAW_BODIES = {
    "empty": (b"", 400, "malformed_json"),
    "blank": (b"  \n", 400, "malformed_json"),
    "cut off": (b'{"series": [1, 2', 400, "malformed_json"),
    "trailing comma": (b'{"series": [1, 2,]}', 400, "malformed_json"),
    "two values": (b'{"series": [1]} {}', 400, "malformed_json"),
    "NaN": (b'{"series": [1, NaN]}', 400, "malformed_json"),
    "Infinity": (b'{"series": [1, Infinity]}', 400, "malformed_json"),
    "-Infinity": (b'{"series": [1, -Infinity]}', 400, "malformed_json"),
    "beyond float64": (b'{"series": [1, 1e999]}', 400, "malformed_json"),
    "nested too deeply": (b'{"series": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "malformed_json"),
    "not UTF-8": (b'{"model": "\xff\xfe"}', 400, "malformed_json"),
    "a lone surrogate": (b'{"model": "\\ud800"}', 400, "malformed_json"),
    "a control character": (b'{"model": "a\x01"}', 400, "malformed_json"),
    "a member twice": (b'{"series": [1, 2, 3, 4], "series": [9]}', 400, "malformed_json"),
    "a nested member twice": (b'{"model": "whole", "series": {"a": [1], "a": [2]}}', 400, "malformed_json"),
    "a byte order mark": (b'\xef\xbb\xbf{"series": [1]}', 400, "malformed_json"),
    "a list": (b"[1, 2, 3]", 422, "wrong_type"),
    "null": (b"null", 422, "wrong_type"),
    "a number": (b"5", 422, "wrong_type"),
}


@pytest.mark.parametrize("name", RAW_BODIES)
@pytest.mark.parametrize("route", ["/forecast", "/train"])
def test_a_body_that_is_no_json_object_is_refused(http: httpx.Client, route: str, name: str) -> None:
    body, status, code = RAW_BODIES[name]
    assert_problem(http.post(route, content=body, headers=JSON), status, code)


FORECASTS: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({}, 422, "missing_field", "/series"),
    ({"series": None}, 422, "wrong_type", "/series"),
    ({"series": "1,2,3"}, 422, "wrong_type", "/series"),
    ({"series": []}, 422, "empty", "/series"),
    ({"series": {}}, 422, "empty", "/series"),
    ({"series": [[]]}, 422, "empty", "/series/0"),
    ({"series": ["1", "2"]}, 422, "wrong_type", "/series/0"),
    ({"series": [[1, 2, 3, 4], [1, 2, 3, True]]}, 422, "wrong_type", "/series/1/3"),
    ({"series": [[1, 2, 3, 4], [1, 2, [3], 4]]}, 422, "wrong_type", "/series/1/2"),
    ({"series": {"a": [1, 2, 3, {"b": 1}]}}, 422, "wrong_type", "/series/a/3"),
    ({"series": [{"id": "a", "values": [1, 2, 3, "4"]}]}, 422, "wrong_type", "/series/0/values/3"),
    ({"series": [1, 2, 3, 1e308]}, 422, "out_of_range", "/series/3"),
    ({"series": [None, None]}, 422, "all_null", "/series"),
    ({"series": [1, None, 3, 4], "missing": "error"}, 422, "missing_value", "/series/1"),
    ({"series": [1, 2, 3], "model": "whole"}, 422, "too_short", "/series"),
    ({"series": [None, 2, 3, 4], "model": "whole"}, 422, "too_short", "/series"),
    ({"horizon": 0}, 422, "horizon_out_of_bounds", "/horizon"),
    ({"horizon": -3}, 422, "horizon_out_of_bounds", "/horizon"),
    ({"horizon": 1001}, 422, "horizon_out_of_bounds", "/horizon"),
    ({"horizon": 10**30}, 422, "wrong_type", "/horizon"),
    ({"horizon": 2.5}, 422, "wrong_type", "/horizon"),
    ({"horizon": 2.0}, 422, "wrong_type", "/horizon"),
    ({"horizon": "2"}, 422, "wrong_type", "/horizon"),
    ({"horizon": True}, 422, "wrong_type", "/horizon"),
    ({"model": "nobody"}, 404, "model_not_found", None),
    ({"model": 5}, 422, "wrong_type", "/model"),
    ({"model": "../x"}, 422, "bad_name", "/model"),
    ({"model": "x" * 300}, 422, "bad_name", "/model"),
    ({"model": "a\nb"}, 422, "bad_name", "/model"),
    ({"model": "whole\n"}, 422, "bad_name", "/model"),
    ({"model": "a\x00b"}, 422, "bad_name", "/model"),
    ({"model": ""}, 422, "bad_name", "/model"),
    ({"model": ".."}, 422, "bad_name", "/model"),
    ({"version": 99}, 404, "version_not_found", None),
    ({"version": 0}, 404, "version_not_found", None),
    ({"version": -1}, 404, "version_not_found", None),
    ({"version": "nobody"}, 404, "version_not_found", None),
    ({"version": "../1"}, 404, "version_not_found", None),
    ({"version": 1.0}, 422, "wrong_type", "/version"),
    ({"version": True}, 422, "wrong_type", "/version"),
    ({"version": [1]}, 422, "wrong_type", "/version"),
    ({"mode": "sideways"}, 422, "unknown_choice", "/mode"),
    ({"mode": None}, 422, "unknown_choice", "/mode"),
    ({"mode": "one_step"}, 422, "mode_not_available", "/mode"),
    ({"model": "stepwise", "mode": "one_step", "horizon": 3}, 422, "horizon_not_available", "/horizon"),
    ({"model": "vector", "all_steps": True}, 422, "all_steps_not_available", "/all_steps"),
    ({"all_steps": "yes"}, 422, "wrong_type", "/all_steps"),
    ({"level": [80]}, 422, "level_not_calibrated", "/level"),
    ({"level": [0]}, 422, "out_of_bounds", "/level/0"),
    ({"level": [50, 100]}, 422, "out_of_bounds", "/level/1"),
    ({"level": ["80"]}, 422, "wrong_type", "/level/0"),
    ({"level": 80}, 422, "wrong_type", "/level"),
    ({"missing": "guess"}, 422, "unknown_choice", "/missing"),
    ({"horizn": 3}, 422, "unknown_field", "/horizn"),
    ({"dataset": "abc"}, 422, "conflicting_fields", "/dataset"),
    ({"a/b~c": 1}, 422, "unknown_field", "/a~1b~0c"),
    ({"freq": "D"}, 422, "missing_field", "/start"),
    ({"start": "2026-01-01"}, 422, "missing_field", "/freq"),
    ({"freq": 5, "start": "2026-01-01"}, 422, "wrong_type", "/freq"),
    ({"freq": "x" * 101, "start": "2026-01-01"}, 422, "out_of_bounds", "/freq"),
]


@pytest.mark.parametrize(("fields", "status", "code", "pointer"), FORECASTS)
def test_a_wrong_forecast_request_is_answered_with_what_is_wrong_and_where(
    http: httpx.Client, fields: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    body = {**GOOD, **fields} if fields else {"model": "whole"}
    assert_problem(http.post("/forecast", content=json.dumps(body), headers=JSON), status, code, pointer)


TRAININGS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "missing_field", "/architecture"),
    ({"architecture": "transformer"}, "unknown_architecture", "/architecture"),
    ({"architecture": "auto", "window": 5}, "option_not_applicable", "/window"),
    ({"architecture": 5}, "wrong_type", "/architecture"),
    ({"architecture": "lstm", "name": "../x"}, "bad_name", "/name"),
    ({"architecture": "lstm", "name": "x" * 300}, "bad_name", "/name"),
    ({"architecture": "lstm", "name": "a\x07"}, "bad_name", "/name"),
    ({"architecture": "lstm", "name": ".hidden"}, "bad_name", "/name"),
    ({"architecture": "chapter", "name": "x" * 95}, "bad_name", "/name"),
    ({"architecture": "lstm", "epoch": 5}, "unknown_field", "/epoch"),
    ({"architecture": "lstm", "epochs": 0}, "out_of_bounds", "/epochs"),
    ({"architecture": "lstm", "epochs": 1.5}, "wrong_type", "/epochs"),
    ({"architecture": "lstm", "epochs": "5"}, "wrong_type", "/epochs"),
    ({"architecture": "lstm", "learning_rate": 0}, "out_of_bounds", "/learning_rate"),
    ({"architecture": "lstm", "dropout": 1}, "out_of_bounds", "/dropout"),
    ({"architecture": "lstm", "head": "tail"}, "unknown_choice", "/head"),
    ({"architecture": "lstm", "horizon": 1001}, "out_of_bounds", "/horizon"),
    ({"architecture": "lstm", "seed": -1}, "out_of_bounds", "/seed"),
    ({"architecture": "lstm", "early_stopping": {"patients": 5}}, "unknown_field", "/early_stopping/patients"),
    ({"architecture": "lstm", "early_stopping": True}, "wrong_type", "/early_stopping"),
    ({"architecture": "lstm", "data": {"kind": "sines"}}, "unknown_choice", "/data/kind"),
    ({"architecture": "lstm", "data": {"kind": "series"}}, "missing_field", "/data"),
    ({"architecture": "lstm", "data": {"kind": "dataset", "series": [1, 2]}}, "missing_field", "/data"),
    ({"architecture": "lstm", "data": {"kind": "series", "series": [1], "noise": 1}}, "option_not_applicable", "/data"),
    ({"architecture": "lstm", "data": {"kind": "series", "series": [1, 2, 3]}}, "series_too_short", "/data"),
    ({"architecture": "ridge", "horizon": 7, "data": {"kind": "series", "series": GAPPY}}, "nothing_to_score", "/data"),
    ({"architecture": "lstm", "data": {"kind": "series", "series": [1, "2"]}}, "wrong_type", "/data/series/1"),
    ({"architecture": "lstm", "data": {"kind": "series", "series": [[None]]}}, "all_null", "/data/series/0"),
    (
        {"architecture": "lstm", "data": {"kind": "series", "series": LONG, "freq": "X"}},
        "unknown_frequency",
        "/data/freq",
    ),
    (
        {"architecture": "lstm", "data": {"kind": "series", "series": [*LONG, None], "missing": "error"}},
        "missing_value",
        "/data/series/100",
    ),
    (
        {"architecture": "lstm", "difference": "seasonal", "data": {"kind": "series", "series": LONG}},
        "season_needed",
        "/difference",
    ),
    ({"architecture": "mlp", "difference": "first"}, "option_not_applicable", "/difference"),
    ({"architecture": "lstm", "season": 500, "data": {"kind": "series", "series": LONG}}, "out_of_bounds", "/season"),
    ({"architecture": "lstm", "difference": "seasonal"}, "option_not_applicable", "/difference"),
    ({"architecture": "lstm", "scaling": "auto"}, "option_not_applicable", "/scaling"),
    ({"architecture": "naive", "ensemble": {"members": 2}}, "option_not_applicable", "/ensemble"),
    ({"architecture": "lstm", "data": {"n_series": 1}}, "out_of_bounds", "/data/n_series"),
    ({"architecture": "lstm", "data": {"n_serie": 100}}, "unknown_field", "/data/n_serie"),
    ({"architecture": "lstm", "data": {"n_series": 10**6, "n_steps": 10**4}}, "too_much_data", "/data/n_series"),
    ({"architecture": "lstm", "data": []}, "wrong_type", "/data"),
    ({"architecture": "lstm", "scaling": "minmax"}, "unknown_choice", "/scaling"),
    ({"architecture": "naive", "epochs": 5}, "option_not_applicable", "/epochs"),
    ({"architecture": "lstm", "window": 50, "data": {"n_steps": 40}}, "series_too_short", "/data/n_steps"),
    ({"architecture": "lstm", "head": "one_step", "horizon": 3}, "horizon_not_available", "/horizon"),
]


@pytest.mark.parametrize(("body", "code", "pointer"), TRAININGS)
def test_a_wrong_training_request_is_answered_with_what_is_wrong_and_where(
    http: httpx.Client, body: dict[str, Any], code: str, pointer: str
) -> None:
    assert_problem(http.post("/train", content=json.dumps(body), headers=JSON), 422, code, pointer)
    assert http.get("/jobs").json()["jobs"] == []


def test_an_unknown_field_is_answered_with_the_nearest_known_one(http: httpx.Client) -> None:
    response = http.post("/forecast", json={**GOOD, "horizn": 3})
    assert "Did you mean 'horizon'?" in assert_problem(response, 422, "unknown_field")["detail"]
    response = http.post("/train", json={"architecture": "lstm", "early_stopping": {"patients": 5}})
    assert "Did you mean 'patience'?" in assert_problem(response, 422, "unknown_field")["detail"]


def test_no_more_than_a_hundred_errors_are_listed(http: httpx.Client) -> None:
    response = http.post("/forecast", json={"model": "whole", "series": [[1]] * 250})
    document = assert_problem(response, 422, "too_short", "/series/0")
    assert len(document["errors"]) == 100


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/models/nobody", "model_not_found"),
        ("/models/%2e%2e%2fx", "route_not_found"),
        ("/models/..%5cx", "model_not_found"),
        ("/models/" + "x" * 300, "model_not_found"),
        ("/models/a%00b", "model_not_found"),
        ("/models/a%0ab", "model_not_found"),
        ("/models/%ff", "model_not_found"),
        ("/models/whole/versions/99", "version_not_found"),
        ("/models/whole/versions/nobody", "version_not_found"),
        ("/models/whole/versions/" + "9" * 5000, "version_not_found"),
        ("/models/whole/versions/%2e%2e", "version_not_found"),
        ("/jobs/nobody", "job_not_found"),
        ("/jobs/%00", "job_not_found"),
        ("/jobs/" + "x" * 300, "job_not_found"),
        ("/jobs/nobody/events", "job_not_found"),
        ("/nothing", "route_not_found"),
        ("/forecast/", "route_not_found"),
        ("/docs/assets/..%2f..%2fcore.py", "route_not_found"),
        ("/docs/assets/core.py", "route_not_found"),
    ],
)
def test_what_is_not_there_is_a_404(http: httpx.Client, path: str, code: str) -> None:
    assert_problem(http.get(path), 404, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/models/../../x/aliases/a"),
        ("PUT", "/models/%2e%2e%2f%2e%2e%2fx/aliases/a"),
        ("PUT", "/models/a%00b/aliases/a"),
        ("PUT", f"/models/{'x' * 300}/aliases/a"),
        ("DELETE", "/models/..%2fwhole/versions/1"),
        ("DELETE", "/models/%2e%2e/versions/1"),
        ("DELETE", "/models/whole/versions/%2e%2e"),
        ("POST", "/jobs/..%2f/cancel"),
        ("POST", "/jobs/nobody/cancel"),
    ],
)
def test_a_hostile_path_changes_nothing(http: httpx.Client, method: str, path: str) -> None:
    before = http.get("/models").json()
    response = http.request(method, path, json={"version": 1})
    assert response.status_code == 404, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert http.get("/models").json() == before


@pytest.mark.parametrize("alias", ["1", "123", "%2e%2e", "a%00b", "a%20b", "x" * 300, "-a"])
def test_an_alias_that_is_no_name_or_could_be_a_number_is_refused(http: httpx.Client, alias: str) -> None:
    assert_problem(http.put(f"/models/whole/aliases/{alias}", json={"version": 1}), 422, "bad_name")


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("limit=0", "/limit", "out_of_bounds"),
        ("limit=100000", "/limit", "out_of_bounds"),
        ("limit=many", "/limit", "wrong_type"),
        ("status=asleep", "/status", "unknown_choice"),
        ("cursor=..%2f", "/cursor", "bad_cursor"),
        ("cursor=", "/cursor", "bad_cursor"),
    ],
)
def test_a_wrong_query_parameter_is_pointed_at(http: httpx.Client, query: str, pointer: str, code: str) -> None:
    assert_problem(http.get(f"/jobs?{query}"), 422, code, pointer)


def test_a_method_that_a_route_has_not_is_told_which_it_has(http: httpx.Client) -> None:
    response = http.get("/forecast")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/jsonp"}])
def test_a_body_of_another_type_is_refused(http: httpx.Client, headers: dict[str, str]) -> None:
    body = json.dumps(GOOD).encode()
    assert_problem(http.post("/forecast", content=body, headers=headers), 415, "unsupported_media_type")


def test_the_content_type_may_have_parameters(http: httpx.Client) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert http.post("/forecast", content=json.dumps(GOOD), headers=headers).status_code == 200


def test_an_unknown_encoding_is_refused(http: httpx.Client) -> None:
    response = http.post("/forecast", content=b"{}", headers={**JSON, "Content-Encoding": "br"})
    assert_problem(response, 415, "unsupported_media_type")


def test_gzip_is_read_also_in_members(http: httpx.Client) -> None:
    text = json.dumps(GOOD).encode()
    for body in (gzip.compress(text), gzip.compress(text[:9]) + gzip.compress(text[9:])):
        response = http.post("/forecast", content=body, headers={**JSON, "Content-Encoding": "gzip"})
        assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "body",
    [b"", b"no gzip", gzip.compress(json.dumps(GOOD).encode())[:-9], gzip.compress(b"{}") + b"tail"],
    ids=["empty", "plain", "cut off", "with a tail"],
)
def test_broken_gzip_is_refused(http: httpx.Client, body: bytes) -> None:
    response = http.post("/forecast", content=body, headers={**JSON, "Content-Encoding": "gzip"})
    assert_problem(response, 400, "malformed_body")


def test_a_body_over_the_limit_is_refused_whether_declared_or_streamed(http: httpx.Client) -> None:
    large = b'{"series": [' + b"1," * 2_000_000 + b"1]}"
    assert_problem(http.post("/forecast", content=large, headers=JSON), 413, "body_too_large")
    pieces = (large[i : i + 50_000] for i in range(0, len(large), 50_000))
    assert_problem(http.post("/forecast", content=pieces, headers=JSON), 413, "body_too_large")


def test_a_small_body_that_unpacks_to_more_than_the_limit_is_refused(http: httpx.Client) -> None:
    bomb = gzip.compress(b" " * 64 * 2**20)
    assert len(bomb) < 2**20
    response = http.post("/forecast", content=bomb, headers={**JSON, "Content-Encoding": "gzip"})
    assert_problem(response, 413, "body_too_large")


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error(http: httpx.Client) -> None:
    with socket.create_connection((http.base_url.host, http.base_url.port or 0)) as connection:
        head = b"POST /forecast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b'Content-Length: 1000\r\n\r\n{"series": [1, 2')


@pytest.mark.parametrize("value", ["", "x" * 256, "tab\there"])
def test_a_wrong_idempotency_key_is_refused(http: httpx.Client, value: str) -> None:
    response = http.post("/train", json={"architecture": "lstm"}, headers={"Idempotency-Key": value})
    assert_problem(response, 422, "bad_header", "/Idempotency-Key")


@pytest.mark.parametrize("path", ["/forecast", "/backtest"])
def test_a_source_that_is_null_beside_the_other_is_no_conflict(http: httpx.Client, path: str) -> None:
    body = {"model": "whole", "series": [float(i) for i in range(40)], "horizon": 2, "dataset": None}
    assert http.post(path, json=body).status_code == 200
    dataset = http.post("/datasets", json={"series": body["series"]}).json()["id"]
    assert http.post(path, json={**body, "series": None, "dataset": dataset}).status_code == 200
    assert_problem(http.post(path, json={**body, "series": None}), 422, "missing_field", "/series")
    assert_problem(http.post(path, json={**body, "dataset": dataset}), 422, "conflicting_fields", "/dataset")


@pytest.mark.parametrize("given", ["5" * 300, "0" * 299 + "5", "9" * 20, "٣", "5 5", ""])
def test_a_time_limit_of_any_length_is_a_clients_mistake(http: httpx.Client, given: str) -> None:
    head = {b"X-Request-Timeout-Ms": given.encode()}
    assert_problem(http.post("/forecast", json=GOOD, headers=head), 400, "bad_header")
