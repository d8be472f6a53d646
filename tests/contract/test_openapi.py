"""/openapi.json says what the server does: its routes, its answers, and examples that run as they are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from service.api.schemas.activations import ActivationsAnswer
from service.api.schemas.anomalies import AnomaliesAnswer
from service.api.schemas.backtest import BacktestAnswer
from service.api.schemas.datasets import DatasetAnswer, DatasetsAnswer
from service.api.schemas.examples import ExampleAnswer, ExamplesAnswer
from service.api.schemas.forecast import ForecastAnswer
from service.api.schemas.leaderboard import LeaderboardAnswer
from service.api.schemas.models import ModelAnswer, ModelsAnswer
from service.api.schemas.problem import Problem
from service.api.schemas.train import JobAnswer, JobsAnswer
from service.store.pretrained import publish_pretrained
from tests.api.server import client
from tests.engines.versions import add_fast_version
from tests.serving.models import add_kinds

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
ROUTES = {
    "POST /forecast",
    "POST /anomalies",
    "POST /backtest",
    "POST /activations",
    "POST /train",
    "GET /jobs",
    "GET /jobs/{job_id}",
    "GET /jobs/{job_id}/events",
    "GET /jobs/{job_id}/log",
    "GET /jobs/{job_id}/history",
    "GET /jobs/{job_id}/result",
    "POST /jobs/{job_id}/cancel",
    "POST /jobs/{job_id}/retry",
    "POST /schedules",
    "GET /schedules",
    "GET /schedules/{schedule_id}",
    "PATCH /schedules/{schedule_id}",
    "POST /schedules/{schedule_id}/run",
    "DELETE /schedules/{schedule_id}",
    "POST /datasets",
    "GET /datasets",
    "GET /datasets/{dataset_id}",
    "PUT /datasets/{dataset_id}",
    "GET /datasets/{dataset_id}/series",
    "DELETE /datasets/{dataset_id}",
    "GET /examples",
    "GET /examples/{name}",
    "GET /models",
    "GET /models/{name}",
    "GET /models/{name}/versions/{version}",
    "DELETE /models/{name}",
    "DELETE /models/{name}/versions/{version}",
    "PUT /models/{name}/aliases/{alias}",
    "PUT /models/default",
    "GET /leaderboard",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("contract")
    add_kinds(folder / "store")
    add_fast_version(folder / "store", "gru")
    publish_pretrained(folder / "store")
    with client(folder / "store", folder / "state") as http:
        yield http


@pytest.fixture(scope="module")
def schema(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/openapi.json").json()
    return found


def operations(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_is_described_and_documented(schema: dict[str, Any]) -> None:
    found = operations(schema)
    assert found.keys() == ROUTES
    for name, operation in found.items():
        assert operation["description"], name
        assert f"`{name}`" in DOCS
        has_no_body = name.startswith(("GET", "DELETE")) or name.endswith(("/cancel", "/run", "/retry"))
        if not has_no_body:
            assert operation["requestBody"]["content"]["application/json"]["examples"], name


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    references = set(re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(schema)))
    assert references
    assert references <= schema["components"]["schemas"].keys()


def test_problems_are_described_as_they_are_sent(schema: dict[str, Any], http: httpx.Client) -> None:
    for name, operation in operations(schema).items():
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], name
    Problem.model_validate(http.post("/forecast", json={}).json(), strict=True)


def fill(path: str) -> str:
    return path.replace("{name}", "lstm").replace("{alias}", "champion")


def test_every_example_runs_as_it_is(schema: dict[str, Any], http: httpx.Client) -> None:
    ran = 0
    for name, operation in operations(schema).items():
        method, path = name.split()
        if name == "PUT /datasets/{dataset_id}":
            path = f"/datasets/{http.post('/datasets', json={'series': [1, 2, 3]}).json()['id']}"
        body = operation.get("requestBody", {"content": {"application/json": {"examples": {}}}})
        examples = [
            (media_type, title, example["value"])
            for media_type, content in body["content"].items()
            for title, example in content.get("examples", {}).items()
        ]
        if examples and "{schedule_id}" in path:
            made = http.post("/schedules", json={"cron": "@yearly", "train": {"architecture": "linear"}})
            path = path.replace("{schedule_id}", made.json()["id"])
        for media_type, title, value in examples:
            content = value if isinstance(value, str) else json.dumps(value)
            response = http.request(method, fill(path), content=content, headers={"Content-Type": media_type})
            assert response.is_success, (title, response.text)
            assert str(response.status_code) in operation["responses"], title
            for one in response.json().get("forecasts", []):
                assert "error" not in one, title
            ran += 1
    assert ran >= 10


@pytest.mark.parametrize(
    ("method", "path", "body", "model"),
    [
        (
            "POST",
            "/forecast",
            {"model": "lstm", "series": [[1, 2], []], "all_steps": True, "freq": "D", "start": "2026-01-01"},
            None,
        ),
        (
            "POST",
            "/anomalies",
            {"model": "zero-shot", "series": [[1, 2, 4, 3] * 9, []], "freq": "D", "start": "2026-01-01"},
            AnomaliesAnswer,
        ),
        ("POST", "/backtest", {"model": "lstm", "series": [[1, 2, 4, 3] * 5, []]}, BacktestAnswer),
        (
            "POST",
            "/backtest",
            {"model": "zero-shot", "series": [[1, 2, 4, 3] * 9], "forecasts": True, "level": [80]},
            BacktestAnswer,
        ),
        ("POST", "/activations", {"model": "gru", "series": [1, 2, 4, 3] * 5}, ActivationsAnswer),
        ("GET", "/leaderboard", None, LeaderboardAnswer),
        ("POST", "/datasets", {"series": [[1, None, 3]]}, DatasetAnswer),
        ("GET", "/datasets", None, DatasetsAnswer),
        ("GET", "/examples", None, ExamplesAnswer),
        ("GET", "/examples/waves", None, ExampleAnswer),
        ("GET", "/models", None, ModelsAnswer),
        ("GET", "/models/lstm", None, ModelAnswer),
        ("POST", "/train", {"architecture": "gru"}, JobAnswer),
        ("POST", "/train", {"architecture": "chapter", "epochs": 1}, JobsAnswer),
        ("GET", "/jobs", None, JobsAnswer),
    ],
)
def test_answers_have_exactly_the_described_fields(
    http: httpx.Client, method: str, path: str, body: Any, model: type[BaseModel] | None
) -> None:
    response = http.request(method, path, json=body)
    assert response.is_success, response.text
    (model or ForecastAnswer).model_validate(response.json(), strict=True)
