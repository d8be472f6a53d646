"""The notebook runs, in a kernel of Jupyter's as at a reader's."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.end_to_end.processes import Processes

PATH = Path(__file__).parents[2] / "examples" / "forecast_sales.ipynb"
ADDRESS = "http://localhost:8000"


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.fixture(scope="module")
def outputs(service: Processes) -> Iterator[dict[str, list[Any]]]:
    """What each cell shows, by the cell's id. Raises CellExecutionError where one fails."""
    notebook = nbformat.read(PATH, as_version=4)
    assert ADDRESS in notebook.cells[1].source
    notebook.cells[1].source = notebook.cells[1].source.replace(ADDRESS, service.url)
    NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
    yield {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    # As its last line says.
    service.client.delete("/models/passengers").raise_for_status()


def text(outputs: list[Any]) -> str:
    """What a cell prints and its last value, without what is written on standard error."""
    shown = (
        str(output["text"]) if output.output_type == "stream" else str(output.data["text/plain"])
        for output in outputs
        if output.get("name") != "stderr"
    )
    return "\n".join(shown)


def test_pictures_are_shown(outputs: dict[str, list[Any]]) -> None:
    for cell in ("plot", "own", "plot-anomalies"):
        assert [sorted(output.data) for output in outputs[cell]] == [["image/png", "text/plain"]], cell


def test_nothing_warns(outputs: dict[str, list[Any]]) -> None:
    # The bar of the training is written there.
    written = {cell: [one.text for one in shown if one.get("name") == "stderr"] for cell, shown in outputs.items()}
    bar = "".join(written.pop("train"))
    assert "passengers: succeeded" in bar
    assert "Warning" not in bar
    assert not any(written.values())


def test_the_forecast_is_near_what_was_measured(outputs: dict[str, list[Any]]) -> None:
    found = re.search(r"mean absolute error ([\d.]+) .*; (\d+)% of the months", text(outputs["error"]))
    assert found is not None
    # Seasonal naive is off by 47.8.
    assert float(found[1]) < 20
    assert int(found[2]) >= 60


def test_the_trained_model_passes_the_gate_and_beats_the_baselines(outputs: dict[str, list[Any]]) -> None:
    assert "'passed': True" in text(outputs["train"])
    ranked = [line.split()[0] for line in text(outputs["backtest"]).splitlines()[1:]]
    assert set(ranked[:2]) == {"passengers", "zero-shot"}
    assert set(ranked[2:]) == {"naive", "seasonal_naive"}
    assert "passengers" in text(outputs["leaderboard"])


def test_the_mistyped_month_alone_stands_out(outputs: dict[str, list[Any]]) -> None:
    rows = re.findall(r"passengers (\d{4}-\d\d-\d\d)", text(outputs["anomalies"]))
    assert rows == ["1958-03-01"]
