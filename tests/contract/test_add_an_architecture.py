"""docs/add-an-architecture.md, followed step by step: its toy is tested, trained, exported and served."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "add-an-architecture.md"

TEST_TRAIN_AND_SERVE = """
import sys
from pathlib import Path

import numpy as np
import pytest

from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.resolve import resolve
from service.engines.loaders import make_loader
from service.networks.network import make_network
from service.store.catalog import Catalog
from service.training.trainer import Trainer
from tests.training.recorder import Recorder

passed = pytest.main(["-q", "tests/networks", "tests/training/test_memory_estimate.py", "-k", "smoothing"])
assert passed == pytest.ExitCode.OK
root = Path(sys.argv[1])
trainer = Trainer(root, lambda panel, digest=None: None)
request = {"architecture": "smoothing", "scaling": "standard", "units": 3, "epochs": 2, "data": {"n_series": 100}}
trainer.train(make_training_plan(request), Recorder("job"))
trainer.close()
catalog = Catalog(root)
catalog.refresh()
manifest = catalog.resolve("smoothing")
folder = catalog.folder(manifest)
series = np.cumsum(np.random.default_rng(0).normal(size=(4, 50)), axis=1)
lengths = np.array([50, 50, 30, 7], np.int32)
fast, complete = (make_loader(engine)(folder, manifest) for engine in ("onnx", "savedmodel"))
head, weights = manifest.head, f"{make_network(resolve({'architecture': 'smoothing'})).count_params():,}"
assert f"| {head} | {weights} |" in next(line for line in open("README.md") if line.startswith("| `smoothing` |"))
np.testing.assert_allclose(fast.forecast(series, lengths), complete.forecast(series, lengths), atol=1e-4)
np.testing.assert_allclose(fast.rollout(series, lengths, 25), complete.rollout(series, lengths, 25), atol=1e-3)
for got, expected in zip(fast.all_steps(series, lengths), complete.all_steps(series, lengths), strict=True):
    np.testing.assert_allclose(got, expected, atol=1e-4)
"""


class Block(NamedTuple):
    """A fenced block that says in its title which file it is for: the `python` of a new file, or a `diff`."""

    language: str
    path: str
    text: str


def read_blocks() -> list[Block]:
    return [
        Block(*match) for match in re.findall(r'```(python|diff) title="(.+?)"\n(.*?)```', DOCUMENT.read_text(), re.S)
    ]


def apply(block: Block, root: Path) -> None:
    """Makes a block's change below a folder; a diff's context must stand in the file exactly once."""
    path = root / block.path
    if block.language == "python":
        assert not path.exists(), f"{block.path} is there already"
        path.write_text(block.text)
        return
    lines = block.text.splitlines()
    assert all(line[0] in " +-" for line in lines)
    before = "".join(line[1:] + "\n" for line in lines if line[0] != "+")
    after = "".join(line[1:] + "\n" for line in lines if line[0] != "-")
    text = path.read_text()
    assert text.count(before) == 1, f"{block.path} holds {text.count(before)} times:\n{before}"
    path.write_text(text.replace(before, after))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with everything done that the document says."""
    root = tmp_path_factory.mktemp("checkout")
    for folder in ("service", "tests"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("*.tar.xz"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    for block in read_blocks():
        apply(block, root)
    return root


def run(checkout: Path, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_its_network_takes_at_most_four_files_of_the_service() -> None:
    assert len({block.path for block in read_blocks() if block.path.startswith("service/")}) <= 4


def test_its_network_is_tested_trained_exported_served_by_both_engines_and_documented(
    checkout: Path, tmp_path: Path
) -> None:
    # In one process, which takes seconds to load what all of that needs.
    run(checkout, "-c", TEST_TRAIN_AND_SERVE, str(tmp_path / "store"))
