"""Versions with ONNX graphs behind a real server: many clients at once get the numbers of the SavedModel."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tensorflow as tf

from service.store.catalog import Catalog
from tests.api.server import client
from tests.engines.versions import add_fast_version
from tests.training.exports import assert_same, waves

# Networks that read windows, and whole series; of a cell with graphs of its own for many rows.
MODELS = {"recurrent": "gru", "simple": "sequence_rnn", "fixed": "linear"}
N_CLIENTS = 8
# The models' own.
HORIZON = 10


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    for name, architecture in MODELS.items():
        add_fast_version(root, name, architecture)
    return root


@pytest.fixture(scope="module")
def http(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with client(store, tmp_path_factory.mktemp("state")) as http:
        yield http


def requests() -> list[dict[str, Any]]:
    """Forecasts of one series and of many, of all lengths and of horizons within a block and beyond."""
    rng = np.random.default_rng(8)
    made = []
    for i in range(48):
        lengths = rng.integers(50, 90, rng.choice([1, 1, 1, 40]))
        series = [waves(1, int(length), seed=i)[0].tolist() for length in lengths]
        made.append({"model": list(MODELS)[i % 3], "series": series, "horizon": int(rng.choice([3, 10, 25]))})
    return made


def ask(http: httpx.Client, request: dict[str, Any]) -> list[np.ndarray]:
    response = http.post("/forecast", json=request)
    assert response.status_code == 200, response.text
    return [np.array(forecast["values"], np.float32) for forecast in response.json()["forecasts"]]


def by_saved_model(model: Any, request: dict[str, Any]) -> np.ndarray:
    lengths = [len(series) for series in request["series"]]
    padded = np.full((len(lengths), max(lengths), 1), np.nan, np.float32)
    for row, series in zip(padded, request["series"], strict=True):
        row[: len(series), 0] = series
    answer = model.signatures["rollout"](
        series=tf.constant(padded), lengths=tf.constant(lengths), horizon=tf.constant(request["horizon"])
    )
    return np.asarray(answer["forecast"])


def test_answers_to_clients_at_once_are_those_to_one_and_the_saved_models(http: httpx.Client, store: Path) -> None:
    assert [http.get(f"/models/{name}").json()["engine"] for name in MODELS] == ["onnx"] * len(MODELS)
    asked = requests()
    alone = [ask(http, request) for request in asked]
    catalog = Catalog(store)
    catalog.refresh()
    models = {name: tf.saved_model.load(str(catalog.folder(catalog.resolve(name)))) for name in MODELS}

    def ask_all(seed: int) -> list[tuple[int, list[np.ndarray]]]:
        with httpx.Client(base_url=http.base_url, timeout=60) as own:
            return [(int(i), ask(own, asked[i])) for i in np.random.default_rng(seed).permutation(len(asked))]

    with ThreadPoolExecutor(N_CLIENTS) as pool:
        together = [answer for answers in pool.map(ask_all, range(N_CLIENTS)) for answer in answers]
    assert len(together) == N_CLIENTS * len(asked)
    for i, forecasts in together:
        for row, forecast in enumerate(forecasts):
            series = np.array(asked[i]["series"][row], np.float32)
            # Many rows are computed by graphs of their own, and beyond the model's horizon differences are fed back.
            share = 1e-4 if asked[i]["horizon"] > HORIZON else 1e-5
            assert_same(forecast, alone[i][row], series, share=share)
    for request, forecasts in zip(asked, alone, strict=True):
        expected = by_saved_model(models[request["model"]], request)
        for row, forecast in enumerate(forecasts):
            assert_same(forecast, expected[row], np.array(request["series"][row], np.float32), share=1e-4)
