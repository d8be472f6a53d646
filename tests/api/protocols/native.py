"""What POST /forecast gives, for comparison with other servers' protocols."""

from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from service.cli.first_run import load_air_passengers

AIR_PASSENGERS: list[float] = load_air_passengers()[0].tolist()
SERIES = [[1.0, 2.0, 4.0, 3.0, 5.0, 6.5], [10.0, 20.5, 40.0, 30.0, 50.0, 61.0]]
RAGGED = [[1.0, 2.0, 4.0, 3.0, 5.0, 6.5], [10.0, 20.5, 40.0, 30.0]]


def native(http: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    """The records of a forecast."""
    response = http.post("/forecast", json=body)
    assert response.status_code == 200, response.text
    records: list[dict[str, Any]] = response.json()["forecasts"]
    return records


def native_values(http: httpx.Client, **body: Any) -> NDArray[np.float64]:
    """The values [batch, horizon] of a forecast."""
    return np.array([record["values"] for record in native(http, **body)])


def assert_refused(response: httpx.Response, status: int, *words: str) -> str:
    """Checks that an answer is an error in the form of TensorFlow Serving and Triton; gives its message."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    document = response.json()
    assert document.keys() == {"error"}
    message: str = document["error"]
    for word in words:
        assert word in message
    for secret in ("Traceback", "site-packages", "orjson", "pydantic", "/service/", "/tmp/"):
        assert secret not in message
    return message
