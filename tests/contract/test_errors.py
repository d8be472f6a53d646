"""Every error has its status, its code, and its place in the docs."""

import ast
from pathlib import Path

import pytest
from pydantic_core import PydanticCustomError

from service import errors
from service.api.problems import NEVER_SHOWN, find_status
from service.errors import ServiceError

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "api.md").read_text()
CLASSES = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)),
    key=lambda kind: kind.__name__,
)
SHOWN = [kind for kind in CLASSES if kind is not ServiceError and not issubclass(kind, NEVER_SHOWN)]
# What the framework refuses, what nobody foresaw, and what pydantic's own findings are called.
OTHER_CODES = {
    "route_not_found",
    "method_not_allowed",
    "internal_error",
    "missing_field",
    "unknown_field",
    "unknown_choice",
    "out_of_bounds",
    "wrong_type",
    "bad_name",
    "worker_died",
    "unreadable_job",
    "too_much_memory",
}


def codes_in_source() -> set[str]:
    """The second argument of every flaw, and the first of every error that a validator of ours raises, in the rooms."""
    found = set()
    for path in (ROOT / "service").glob("*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            position = {"Flaw": 1, "InvalidRequest.at": 1, PydanticCustomError.__name__: 0}.get(name)
            argument = None if position is None or len(node.args) <= position else node.args[position]
            if isinstance(argument, ast.Constant):
                found.add(str(argument.value))
    return found


@pytest.mark.parametrize("kind", SHOWN)
def test_every_error_that_a_client_may_see_has_a_status(kind: type[ServiceError]) -> None:
    status = find_status(kind)
    assert status is not None
    assert 400 <= status < 500 or status in (503, 504, 507)


def test_a_client_mistake_is_never_a_server_error() -> None:
    for kind in (errors.InvalidRequest, errors.NotFound, errors.Conflict, errors.MalformedJson, errors.QueueFull):
        assert (find_status(kind) or 500) < 500


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in CLASSES]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("code", sorted({kind.code for kind in SHOWN} | codes_in_source() | OTHER_CODES))
def test_every_code_is_a_snake_case_word_and_stands_in_the_docs(code: str) -> None:
    assert code == code.lower()
    assert code.replace("_", "").isalnum()
    assert f"`{code}`" in DOCS
