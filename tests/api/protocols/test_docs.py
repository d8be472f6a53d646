"""The commands of docs/protocols.md print what it shows."""

import shutil
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.readme import Shell, read_steps, same

PAGE = Path(__file__).parents[3] / "docs" / "protocols.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_every_command_prints_what_the_page_shows(http: httpx.Client) -> None:
    shell = Shell(f"localhost:{http.base_url.port}", {})
    steps = read_steps(PAGE.read_text())
    assert len(steps) >= 5
    for step in steps:
        printed = shell.run(step.command)
        assert same(step.output.strip(), printed.strip(), tolerance=1e-4), f"{step.command}\n\ngave\n{printed}"


def test_every_route_stands_on_the_page(http: httpx.Client) -> None:
    from service.api.application import PROTOCOLS

    text = PAGE.read_text()
    for module in PROTOCOLS:
        for route in module.router.routes:
            path = getattr(route, "path", "").replace("{name}:{verb}", "{name}:predict")
            if "/versions/{version}" in path or "/labels/{label}" in path:
                continue
            method = sorted(getattr(route, "methods", ()))[0]
            assert f"`{method} {path}`" in text or path == "/v2/repository/index", f"{method} {path}"
