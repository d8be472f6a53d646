"""A flipped byte in an upload: refused, told of by /readyz and /metrics, and over when the upload is gone."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.api.server import assert_problem, client

SERIES = {"a": [float(i % 7) for i in range(60)]}


def damaged_in(http: httpx.Client) -> list[dict[str, str]]:
    ready = http.get("/readyz")
    assert ready.status_code == 200
    named: list[dict[str, str]] = ready.json().get("damaged", [])
    assert ready.json().get("n_damaged", 0) == len(named)
    assert f"outfielder_damaged_uploads {float(len(named))}" in http.get("/metrics").text
    return named


@pytest.mark.parametrize("place", [0, 7, 200])
def test_a_flipped_byte_in_an_upload_is_refused_and_told_of(stored_kinds: Path, tmp_path: Path, place: int) -> None:
    with client(stored_kinds, tmp_path) as http:
        dataset = http.post("/datasets", json={"series": SERIES}).json()["id"]
        assert damaged_in(http) == []
        (values,) = (tmp_path / "datasets" / dataset).glob("values*")
        original = values.read_bytes()
        content = bytearray(original)
        content[original.index(np.array([1.0, 2.0, 3.0]).tobytes()) + place] ^= 1
        values.write_bytes(content)
        body = {"dataset": dataset, "horizon": 1}
        assert_problem(http.post("/forecast", json=body), 404, "dataset_damaged")
        train = {"architecture": "ridge", "data": {"kind": "dataset", "id": dataset}}
        assert_problem(http.post("/train", json=train), 404, "dataset_damaged")
        (named,) = damaged_in(http)
        assert named["entry"] == f"upload {dataset}"
        assert "upload it again" in named["reason"]
        # Restored, or deleted, it is over.
        values.write_bytes(original)
        assert http.post("/forecast", json=body).status_code == 200
        assert damaged_in(http) == []
        values.write_bytes(content)
        assert_problem(http.post("/forecast", json=body), 404, "dataset_damaged")
        assert http.delete(f"/datasets/{dataset}").status_code == 204
        assert damaged_in(http) == []
