from pathlib import Path

import numpy as np
import pytest

from service.domain.panel import Panel
from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.recipe import PanelData
from service.training.data import scratch
from service.training.data.panel_split import prepare_panel, read_panel


def test_a_large_array_is_a_file_that_nobody_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "LEAST_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = scratch.allocate(1000, np.float64)
    assert not array.any()
    array[:] = 1.5
    assert array.sum() == 1500
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("has_gaps", [False, True])
def test_a_panel_in_files_is_cut_as_one_in_memory(has_gaps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = np.random.default_rng(0).normal(size=600).cumsum()
    flat[[0, 299, 300]] = np.nan
    if has_gaps:
        flat[[50, 51, 270, 560, 590]] = np.nan
    values = tuple(np.split(flat, [300]))
    mapped = Panel(("a", "b"), values, (None, None), "D", flat)
    data = PanelData("dataset", "x", mapped.digest(), 2, 600, "D")
    recipe = make_training_plan({"architecture": "mlp", "horizon": 7}, data, np.array([298, 299])).recipes[0]
    plain = prepare_panel(read_panel(Panel(("a", "b"), tuple(map(np.copy, values)), (None, None), "D")), recipe)
    monkeypatch.setattr(scratch, "LEAST_BYTES", 1)
    prepared = prepare_panel(read_panel(mapped), recipe)
    assert prepared.rows.measured is flat
    assert prepared.rows.is_complete != has_gaps
    for one, other in ((prepared.validation, plain.validation), (prepared.test, plain.test)):
        for name in ("series", "ends", "actual", "scale"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        inputs = prepared.rows.inputs(one.series, one.ends, recipe.window)
        np.testing.assert_array_equal(inputs, plain.rows.inputs(other.series, other.ends, recipe.window))
