"""Processes start without the libraries that others import only to see whether they are there."""

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from service.hidden_libraries import hidden


def test_a_package_is_hidden_from_what_is_imported_meanwhile() -> None:
    sys.modules.pop("this", None)
    with hidden("this"), pytest.raises(ModuleNotFoundError, match="No module named 'this'"):
        import_module("this")
    assert find_spec("this") is not None


NAMES = ("jax", "pandas", "matplotlib")


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param("import service.training.export.process", id="exports"),
        pytest.param(
            "from service.engines.savedmodel import _import_tensorflow; _import_tensorflow(hide_gpus=True)",
            id="TensorFlow in the API",
            marks=pytest.mark.exhaustive,
        ),
    ],
)
def test_a_process_has_not_imported_what_it_does_not_need(entry: str) -> None:
    code = f"import sys\n{entry}\nprint([name for name in {NAMES!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1:] == ["[]"], ran.stderr
