"""What the tab key completes, asked as shells ask."""

import os
import socket

import pytest

from service.cli.completion import complete_architectures
from service.domain.recipes.presets import PRESETS
from tests.end_to_end.commands import Ran, commands
from tests.end_to_end.processes import Processes


def complete(service: Processes | None, line: str, **environment: str) -> list[str]:
    """What bash offers at the end of a line."""
    ran = ask(service, line, **environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.split()


def ask(service: Processes | None, line: str, **environment: str) -> Ran:
    words = line.split(" ")
    asked = {"_OUTFIELDER_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    known = service.environment if service is not None else {"PATH": os.environ["PATH"]}
    return commands().run((), {**known, **asked, **environment})


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_completes_in_every_shell(shell: str) -> None:
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    ran = commands().run(("--show-completion", shell), environment)
    assert ran.returncode == 0, ran.stderr
    assert "_OUTFIELDER_COMPLETE=complete_" + shell in ran.stdout


def test_commands_options_and_few_choices_are_completed_without_a_server() -> None:
    assert complete(None, "outfielder pl") == ["plot"]
    assert {"--level", "--output"} <= set(complete(None, "outfielder forecast x.csv --"))
    assert complete(None, "outfielder forecast x.csv --mode s") == ["sequence"]
    assert complete(None, "outfielder forecast x.csv --output-format ") == ["csv", "parquet", "json"]
    assert complete(None, "outfielder leaderboard --metric ma") == ["mae", "mase"]
    assert complete(None, "outfielder jobs --status f") == ["failed"]
    assert complete(None, "outfielder jobs --kind b") == ["backtest"]


def test_every_architecture_is_completed_with_what_it_is() -> None:
    assert set(complete(None, "outfielder train ")) == {*PRESETS, "auto", "chapter"}
    assert complete(None, "outfielder train ls") == ["lstm"]
    assert complete(None, "outfielder schedule @daily ls") == ["lstm"]
    assert all(help_text for _, help_text in complete_architectures(""))


def test_names_that_the_server_knows_are_completed(service: Processes) -> None:
    assert complete(service, "outfielder forecast x.csv --model lin") == ["linear"]
    assert complete(service, "outfielder plot x.csv --model zero") == ["zero-shot"]
    assert complete(service, "outfielder forecast x.csv --model linear --version ") == ["1"]
    job = service.client.get("/jobs").json()["jobs"][0]["id"]
    assert job in complete(service, f"outfielder jobs {job[:6]}")
    assert complete(None, f"outfielder forecast x.csv --url {service.url} --model lin") == ["linear"]


def test_a_server_that_never_answers_completes_nothing() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert complete(None, f"outfielder forecast x.csv --url {url} --model ") == []


def test_without_a_server_nothing_is_completed_and_nothing_is_said() -> None:
    for line in ("outfielder forecast x.csv --model ", "outfielder jobs ", "outfielder backtest x.csv --version "):
        assert complete(None, line, OUTFIELDER_PORT="9") == []
    assert complete(None, "outfielder plot x.csv --model ", OUTFIELDER_PORT="no port") == []
