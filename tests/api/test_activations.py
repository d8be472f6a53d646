"""POST /activations on a real server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.schemas.activations import ActivationsAnswer
from service.domain.recipes.resolve import resolve
from service.serving.activations import KEPT_GRAPHS, MOST_POINTS
from service.store.catalog import Catalog
from service.store.manifest import Manifest
from service.store.pretrained import publish_pretrained
from tests.api.server import assert_problem, client
from tests.engines.versions import add_fast_version
from tests.serving.models import Kind, add_version

SERIES = [float(np.sin(t / 3) + t % 5 / 7) for t in range(60)]
LSTM = {"input_gate", "forget_gate", "output_gate", "candidate", "cell_state", "hidden_state"}
MODELS = {"lstm": "lstm", "gru": "gru", "conv": "conv_gru", "plain": "simple_rnn"}
COPIES = [f"copy-{i}" for i in range(KEPT_GRAPHS + 1)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    for name, architecture in MODELS.items():
        add_fast_version(root, name, architecture)
    for name in COPIES:
        add_fast_version(root, name, "gru")
    for name, architecture in {"norm": "ln_rnn", "line": "linear"}.items():
        recipe = resolve({"architecture": architecture})
        add_version(root, name, Kind(), architecture=architecture, hyper_parameters=recipe.to_dict())
    add_version(root, "slow", Kind(has_graphs=False), architecture="lstm")
    publish_pretrained(root)
    add_version(root, "mean", Kind(), hyper_parameters={"members": [{}, {}, {}]}, architecture="lstm")
    add_version(root, "rejected", Kind(), gate={"passed": False, "reason": "worse", "scores": {}})
    return root


@pytest.fixture(scope="module")
def http(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with client(store, tmp_path_factory.mktemp("state")) as http:
        yield http


def ask(http: httpx.Client, **body: Any) -> dict[str, Any]:
    response = http.post("/activations", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    ActivationsAnswer.model_validate(answer, strict=True)
    assert int(response.headers["content-length"]) == len(response.content)
    return answer


def test_an_lstm_shows_its_gates_and_states_at_every_step(http: httpx.Client) -> None:
    answer = ask(http, model="lstm", series=SERIES)
    assert (answer["model"], answer["version"]) == ("lstm", 1)
    np.testing.assert_allclose(answer["input"], SERIES, rtol=1e-6)
    assert [(one["name"], one["kind"], one["units"], one["steps"]) for one in answer["layers"]] == [
        ("lstm_1", "lstm", 20, 60),
        ("lstm_2", "lstm", 20, 60),
    ]
    for layer in answer["layers"]:
        values = {name: np.array(rows) for name, rows in layer["values"].items()}
        assert values.keys() == LSTM
        assert {rows.shape for rows in values.values()} == {(60, 20)}
        before = np.concatenate([np.zeros((1, 20)), values["cell_state"][:-1]])
        cells = values["forget_gate"] * before + values["input_gate"] * values["candidate"]
        np.testing.assert_allclose(values["cell_state"], cells, atol=1e-6)
        np.testing.assert_allclose(values["hidden_state"], values["output_gate"] * np.tanh(cells), atol=1e-6)


def test_other_cells_show_what_they_have(http: httpx.Client) -> None:
    gru = ask(http, model="gru", series=SERIES)["layers"]
    assert [set(one["values"]) for one in gru] == 2 * [{"update_gate", "reset_gate", "candidate", "hidden_state"}]
    [plain] = ask(http, model="plain", series=SERIES)["layers"]
    assert (plain["name"], plain["units"], set(plain["values"])) == ("simple_1", 1, {"hidden_state"})
    # A recurrent readout of one unit: its last state is the forecast.
    forecast = http.post("/forecast", json={"model": "plain", "series": SERIES, "horizon": 1}).json()
    assert forecast["forecasts"][0]["values"] == pytest.approx(plain["values"]["hidden_state"][-1], abs=1e-5)
    conv = ask(http, model="conv", series=SERIES)
    assert len(conv["input"]) == 60
    assert [one["steps"] for one in conv["layers"]] == [29, 29]


def test_all_forms_of_one_series_and_their_nulls_are_read_as_forecasts_read_them(http: httpx.Client) -> None:
    expected = ask(http, model="gru", series=[1, 2, 3, 4, 5])
    forms = ([[1, 2, 3, 4, 5]], {"a": [1, 2, 3, 4, 5]}, [{"id": "a", "values": [1, 2, 3, 4, 5], "start": "2024-01-01"}])
    for form in (*forms, [None, 1, 2, None, 4, 5, None]):
        assert ask(http, model="gru", series=form) == expected
    assert ask(http, model="gru", series=[1, 2, None, 4], missing="ffill")["input"] == [1, 2, 2, 4]


def test_answers_to_clients_at_once_are_those_to_one(http: httpx.Client) -> None:
    # More models than graphs are kept.
    expected = [ask(http, model=name, series=SERIES)["layers"] for name in COPIES]
    assert all(layers == expected[0] for layers in expected)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: ask(http, model=name, series=SERIES), COPIES * 4))
    assert all(answer["layers"] == expected[0] for answer in answers)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("line", "architecture 'linear', which has no recurrent layers"),
        ("norm", "architecture 'ln_rnn', whose cells normalise within themselves"),
        ("mean", "the mean of 3 networks"),
        ("slow", "published without fast graphs"),
        ("zero-shot", "weighs classical forecasts"),
    ],
)
def test_a_model_that_has_nothing_to_show_is_named_for_what_it_is(http: httpx.Client, model: str, words: str) -> None:
    response = http.post("/activations", json={"model": model, "series": SERIES})
    assert words in assert_problem(response, 422, "activations_not_available", "/model")["detail"]


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"series": []}, "/series", "empty"),
        ({"series": [None, None]}, "/series", "all_null"),
        ({"series": None}, "/series", "wrong_type"),
        ({"series": [1, "2"]}, "/series/1", "wrong_type"),
        ({"series": [[1], [2]]}, "/series", "too_many_series"),
        ({"series": [[1e39, 2]]}, "/series/0/0", "out_of_range"),
        ({"series": [1, None, 2], "missing": "error"}, "/series/1", "missing_value"),
        ({"series": [1.0, 2.0] * 501}, "/series", "too_long"),
        ({"model": "conv", "series": [1, 2]}, "/series", "too_short"),
        ({"horizon": 3}, "/horizon", "unknown_field"),
        ({"model": "../x"}, "/model", "bad_name"),
        ({"version": 1.5}, "/version", "wrong_type"),
    ],
)
def test_a_wrong_request_is_refused_by_name(
    http: httpx.Client, fields: dict[str, Any], pointer: str, code: str
) -> None:
    assert_problem(http.post("/activations", json={"model": "gru", "series": SERIES, **fields}), 422, code, pointer)


def test_missing_series_and_versions_are_refused_as_in_forecasts(
    http: httpx.Client,
) -> None:
    assert_problem(http.post("/activations", json={"model": "gru"}), 422, "missing_field", "/series")
    for fields, status, code in (
        ({"model": "nothing"}, 404, "model_not_found"),
        ({"model": "gru", "version": 7}, 404, "version_not_found"),
        ({"model": "gru", "version": "best"}, 404, "version_not_found"),
        ({"model": "rejected"}, 409, "no_champion"),
    ):
        assert_problem(http.post("/activations", json={"series": SERIES, **fields}), status, code)
    assert http.post("/train", json={"architecture": "gru", "name": "coming"}).status_code == 202
    assert_problem(http.post("/activations", json={"model": "coming", "series": SERIES}), 409, "still_training")
    assert_problem(http.post("/activations", content="series=1", headers={"Content-Type": "text/plain"}), 415,
                   "unsupported_media_type")  # fmt: skip


def test_the_last_points_are_read_and_no_more_than_a_thousand(store: Path, tmp_path: Path) -> None:
    scaled = add_scaled(tmp_path / "store", window=50)
    assert scaled.window == 50
    add_scaled(tmp_path / "store", window=2000, name="wide")
    with client(tmp_path / "store", tmp_path / "state") as http:
        long = [float(t % 9) for t in range(3 * MOST_POINTS)]
        assert ask(http, model="scaled", series=long) == ask(http, model="scaled", series=long[-50:])
        assert len(ask(http, model="wide", series=long[:MOST_POINTS])["input"]) == MOST_POINTS
        response = http.post("/activations", json={"model": "wide", "series": long})
        assert "last 2000 points" in assert_problem(response, 422, "too_long", "/series")["detail"]


def add_scaled(root: Path, *, window: int, name: str = "scaled") -> Manifest:
    """A version that says that it reads its last points; of a GRU without scaling, for which that is no matter."""
    return add_fast_version(root, name, "gru", window=window, reads_whole_series=False)


def test_an_answer_has_a_bound(store: Path, tmp_path: Path) -> None:
    with client(store, tmp_path, max_answer_values=1000) as http:
        assert len(ask(http, model="gru", series=[1, 2, 3, 4, 5, 6])["layers"]) == 2
        # 161 numbers a step.
        response = http.post("/activations", json={"model": "gru", "series": [1, 2, 3, 4, 5, 6, 7]})
        assert "1127 numbers" in assert_problem(response, 422, "answer_too_large", "/series")["detail"]


def test_a_damaged_version_is_refused_before_and_after_it_was_loaded(tmp_path: Path) -> None:
    root = tmp_path / "store"
    for name in ("early", "late"):
        add_fast_version(root, name, "gru")
    catalog = Catalog(root)
    catalog.refresh()
    paths = [catalog.folder(catalog.resolve(name)) / "assets.extra/forecast.onnx" for name in ("early", "late")]
    paths[0].write_bytes(paths[0].read_bytes()[:-1])
    with client(root, tmp_path / "state") as http:
        assert_problem(http.post("/activations", json={"model": "early", "series": SERIES}), 503, "version_damaged")
        forecast = http.post("/forecast", json={"model": "late", "series": SERIES})
        assert forecast.status_code == 200
        content = bytearray(paths[1].read_bytes())
        content[len(content) // 2] ^= 1
        paths[1].write_bytes(content)
        assert_problem(http.post("/activations", json={"model": "late", "series": SERIES}), 503, "version_damaged")
