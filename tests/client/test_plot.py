"""Histories, forecasts and bands as pictures."""

import sys
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from outfielder_client import Client, DataFinding, UnusableInput, plot

DAYS = [date(2026, 1, 1) + timedelta(days=day) for day in range(28)]
HISTORY = pl.DataFrame(
    {"unique_id": ["a"] * 28 + ["b"] * 28, "ds": DAYS * 2, "y": [float(day % 7) for day in range(28)] * 2}
)


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_a_forecast_is_drawn_behind_its_history_with_its_bands(url: str, library: str) -> None:
    with Client(url) as client:
        history: Any = HISTORY if library == "polars" else HISTORY.to_pandas()
        forecast = client.forecast(history, model="zero-shot", horizon=7, level=[80, 95], quantiles=[0.5])
        figure = client.plot(history, forecast, last=14)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["a", "b"]
    axis = figure.axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    assert lines.keys() == {"y", "zero-shot", "zero-shot-q-50"}
    assert lines["y"].get_ydata().tolist() == [float(day % 7) for day in range(14, 28)]
    assert len(lines["zero-shot"].get_ydata()) == 7
    assert [band.get_label() for band in axis.collections] == ["95 %", "80 %"]


def test_anomalies_are_points(url: str) -> None:
    with Client(url) as client:
        history = HISTORY.filter(pl.col("unique_id") == "a").with_columns(
            y=pl.when(pl.col("ds") == DAYS[20]).then(90.0).otherwise(pl.col("y"))
        )
        with pytest.warns(DataFinding, match="90 .row 21. stands far"):
            found = client.anomalies(history, model="zero-shot")
    [axis] = plot(found).axes
    points = next(line for line in axis.lines if line.get_label() == "anomaly")
    assert 90.0 in points.get_ydata().tolist()


def test_series_may_be_chosen_and_have_no_ids() -> None:
    assert [axis.get_title(loc="left") for axis in plot(HISTORY, ids=["b"]).axes] == ["b"]
    assert len(plot(HISTORY, max_series=1).axes) == 1
    assert len(plot(HISTORY.filter(pl.col("unique_id") == "a").drop("unique_id", "ds")).axes) == 1


def test_a_notebook_shows_the_figure() -> None:
    # Jupyter asks for this method by its name.
    assert plot(HISTORY)._repr_png_().startswith(b"\x89PNG")


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnusableInput, match="Expected a data frame as history"):
        plot([1, 2, 3])
    monkeypatch.delitem(sys.modules, "outfielder_client.drawing")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UnusableInput, match=r"outfielder-client\[plot\]"):
        plot(HISTORY)
