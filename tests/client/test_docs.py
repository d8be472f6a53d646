"""The examples of the client's documents, run as they stand there."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from outfielder_client import Client
from tests.api.server import running
from tests.api.test_jobs import worker

ROOT = Path(__file__).parents[2]
ADDRESS = "http://localhost:8000"


@pytest.mark.parametrize("page", ["docs/client.md", "clients/python/README.md"])
def test_every_example_runs_and_prints_what_the_page_shows(
    page: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, state = tmp_path / "store", tmp_path / "state"
    shutil.copytree(store, root)
    memory: dict[str, Any] = {"__name__": "example"}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    with running(root, state) as url, worker(state):
        for block in blocks:
            exec(compile(block.replace(ADDRESS, url), page, "exec"), memory)
            shown = re.findall(r"^print\(.*\n# (.*)$|^    print\(.*\n# (.*)$", block, re.MULTILINE)
            printed = capsys.readouterr().out
            assert all("".join(lines) in printed for lines in shown)
        for client in [value for value in memory.values() if isinstance(value, Client)]:
            client.close()
