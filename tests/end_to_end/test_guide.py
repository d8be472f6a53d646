"""The guide to series of one's own, command by command, against a service that is started as it says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.processes import Processes
from tests.end_to_end.readme import Shell, read_steps, same

GUIDE = Path(__file__).parents[2] / "docs" / "your-series.md"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path, OUTFIELDER_STARTER_MODELS="none")
    processes.start("up")
    processes.wait_until_ready()
    yield processes
    processes.close()


@pytest.mark.timeout(600)
def test_every_command_prints_what_the_guide_shows(service: Processes) -> None:
    shell = Shell(f"localhost:{service.port}", service.environment, service.folder, patience_seconds=400)
    steps = read_steps(GUIDE.read_text())
    assert len(steps) >= 9
    for step in steps:
        printed = shell.run(step.command).replace(str(service.port), "8000")
        assert same(step.output.strip(), printed.strip()), f"{step.command}\n\nshows\n{step.output}\n\ngave\n{printed}"
