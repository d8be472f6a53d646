"""The README, and the guide to series of one's own, against a service that is started as they say."""

from pathlib import Path

import pytest

from service.domain.recipes.presets import PRESETS
from service.domain.recipes.resolve import resolve
from service.networks.network import make_network
from tests.end_to_end.processes import Processes
from tests.end_to_end.readme import README, Shell, read_steps, same

GUIDE = Path(__file__).parents[2] / "docs" / "your-series.md"


def test_the_first_run_prints_what_the_readme_shows(service: Processes) -> None:
    text = README.read_text()
    begin = text.index("AirPassengers: the 12 months")
    shown = text[begin : text.index("```", begin)].strip().splitlines()
    printed = service.logs()
    for line in shown:
        assert any(same(line, candidate) for candidate in printed.splitlines()), f"{line!r} is not in\n{printed}"


def test_the_curl_that_the_first_run_prints_gives_the_same_forecast(service: Processes) -> None:
    lines = service.logs().splitlines()
    command = next(line for line in lines if line.startswith("curl "))
    answer = Shell(f"localhost:{service.port}", service.environment).run(command)
    row = next(line for line in lines if line.startswith("zero-shot "))
    assert f'"horizon":{12}' in answer
    first = float(answer.partition('"values":[')[2].partition(",")[0])
    assert f"{first:.0f}" == row.split()[1]


def test_every_command_prints_what_the_readme_shows(service: Processes) -> None:
    shell = Shell(f"localhost:{service.port}", service.environment)
    assert follow(README, shell, service) >= 6


@pytest.mark.timeout(600)
def test_every_command_prints_what_the_guide_shows(service: Processes) -> None:
    # Behind the README, which lists all models.
    shell = Shell(f"localhost:{service.port}", service.environment, service.folder, patience_seconds=400)
    assert follow(GUIDE, shell, service) >= 9


def follow(page: Path, shell: Shell, service: Processes) -> int:
    """Runs a page's commands, and compares what they print with what it shows. Returns how many there are."""
    steps = read_steps(page.read_text())
    for step in steps:
        printed = shell.run(step.command).replace(str(service.port), "8000")
        assert same(step.output.strip(), printed.strip()), f"{step.command}\n\nshows\n{step.output}\n\ngave\n{printed}"
    return len(steps)


def test_the_table_of_models_names_every_preset_and_its_weights() -> None:
    text = README.read_text()
    for name, preset in PRESETS.items():
        weights = make_network(resolve({"architecture": name})).count_params()
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [cell.strip() for cell in row.split("|")]
        assert (cells[3], cells[4]) == (preset.head, f"{weights:,}")
