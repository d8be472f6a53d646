"""What POST /forecast gives, and how clients' numbers are compared with it. Standard library and NumPy only."""

import json
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

URL = sys.argv[1] if len(sys.argv) > 1 else ""
HOST = URL.removeprefix("http://")
SERIES = np.array([[1.0, 2.0, 4.0, 3.0, 5.0, 6.5], [10.0, 20.5, 40.0, 30.0, 50.0, 61.0]])
MODELS = ("lstm", "whole", "stepwise", "vector", "gru", "zero-shot")


def native(**body: Any) -> list[dict[str, Any]]:
    """The records of a forecast."""
    request = urllib.request.Request(f"{URL}/forecast", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        records: list[dict[str, Any]] = json.load(response)["forecasts"]
    return records


def native_values(**body: Any) -> NDArray[np.float64]:
    """The values [batch, horizon] of a forecast."""
    return np.array([record["values"] for record in native(**body)])


def assert_same(given: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(given, np.float64), np.asarray(expected), rtol=1e-6, atol=1e-6)


def raised(call: Callable[[], object], error: type[Exception]) -> Any:
    """The error that a call raises."""
    try:
        call()
    except error as found:
        return found
    raise AssertionError(f"no {error.__name__} was raised")


def run(*checks: Callable[[], object]) -> None:
    """Runs checks one after the other, and says which."""
    for check in checks:
        check()
        print(f"  {check.__name__.replace('_', ' ')}", flush=True)
