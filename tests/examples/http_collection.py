"""Writes examples/outfielder.http from /openapi.json: `make http-collection`.

It has only what VS Code's REST Client, httpyac and JetBrains' HTTP Client all read: each has another way to take an id
from an answer, so ids are variables that a person fills in.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.app import build_app
from service.settings import Settings

PATH = Path(__file__).parents[2] / "examples" / "outfielder.http"
HEAD = """\
# All routes of Outfielder, for VS Code's REST Client, httpyac and JetBrains' HTTP Client. `make http-collection` writes
# it from /openapi.json: don't edit it. Models that are named here are starters of `outfielder up`, or come with it.

@base = http://localhost:8000
# Any text where the server asks for no key.
@key = none
@model = lstm
# What the last requests remove: train a model of this name first, or put another name here.
@own_model = demo
# Put here the ids that requests below answer: of jobs POST /train, of the others the POST of their kind.
"""
# What stands for the parameters in a path that are no ids.
FILLED = {"name": "{{model}}", "version": "1", "alias": "champion"}
ID = re.compile(r"\{(\w+_id)\}")
# Bodies in bytes have no place in a text.
TEXTS = ("application/json", "text/csv")


def generate(schema: dict[str, Any]) -> str:
    """The collection: a request for each example of each route, removals last."""
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    # A version is removed before its model.
    operations.sort(key=lambda item: item[0].count("/") * -1 if item[0].startswith("DELETE") else -100)
    ids = dict.fromkeys(name for route, _ in operations for name in ID.findall(route))
    head = HEAD + "".join(f"@{name} = 0\n" for name in ids)
    return "\n".join([head, *(text for route, operation in operations for text in _write(route, operation))])


def _write(route: str, operation: dict[str, Any]) -> Iterator[str]:
    method, path = route.split()
    fill = {**FILLED, "name": "air-passengers"} if path.startswith("/examples") else dict(FILLED)
    if method == "DELETE":
        fill["name"] = "{{own_model}}"
    fill |= {name: f"{{{{{name}}}}}" for name in ID.findall(path)}
    address = "{{base}}" + path.format_map(fill)
    queries = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
    about = [f"# {operation['description'].splitlines()[0]}"]
    if queries:
        about.append(f"# Parameters: {', '.join(queries)}.")
    for number, (title, media_type, body) in enumerate(_bodies(operation)):
        lines = [f"### {route}{f': {title}' if title else ''}", *(about if number == 0 else [])]
        lines += [f"{method} {address}", "Authorization: Bearer {{key}}"]
        if body is not None:
            lines += [f"Content-Type: {media_type}", "", body]
        yield "\n".join([*lines, ""])


def _bodies(operation: dict[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    """Title, media type and text of each example; one without a body where the route takes none."""
    if "requestBody" not in operation:
        yield "", "", None
        return
    for media_type in TEXTS:
        content = operation["requestBody"]["content"].get(media_type, {})
        for title, example in content.get("examples", {}).items():
            yield title, media_type, _format(example["value"])


def _format(body: Any) -> str:
    if isinstance(body, str):
        return body.rstrip("\n")
    return "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in body.items()) + "\n}"


def read_schema() -> dict[str, Any]:
    """The schema of a server that asks for no key."""
    with tempfile.TemporaryDirectory() as folder:
        schema: dict[str, Any] = build_app(
            Settings(models_store=Path(folder, "store"), state_dir=Path(folder, "state"))
        ).openapi()
    return schema


if __name__ == "__main__":
    PATH.write_text(generate(read_schema()))
