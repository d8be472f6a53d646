"""Frames that lie on other machines: through fugue, whose own engine stands for them."""

import sys
from typing import Any

import polars as pl
import pytest
from fugue import DataFrame, PandasDataFrame

from outfielder_client import Client, UnusableInput
from tests.client.conftest import PATIENT
from tests.client.test_frames import make_frame


@pytest.mark.parametrize("by_number", [True, False])
def test_a_frame_of_fugue_is_forecast_where_it_is(url: str, by_number: bool) -> None:
    local = make_frame(3).to_pandas()
    with Client(url, retry=PATIENT) as client:
        asked: dict[str, Any] = {"model": "zero-shot", "horizon": 2, "level": [80], "quantiles": [0.25]}
        expected = client.forecast(local, **asked)
        if by_number:
            asked["version"] = 1
        answer = client.forecast(PandasDataFrame(local, "unique_id:str,ds:date,y:double"), **asked)
    assert isinstance(answer, DataFrame)
    answered = pl.from_pandas(answer.as_pandas())
    assert answered.columns == list(expected.columns)
    assert answered["unique_id"].to_list() == expected["unique_id"].tolist()
    for name in expected.columns[2:]:
        assert answered[name].to_list() == pytest.approx(expected[name].tolist(), rel=1e-4, abs=1e-4)


def test_the_default_model_is_settled_before_the_parts_are_forecast(url: str) -> None:
    with Client(url, retry=PATIENT) as client:
        answer = client.forecast(PandasDataFrame(make_frame(2).to_pandas()), horizon=1)
    assert answer.schema.names == ["unique_id", "ds", "zero-shot"]


def test_parts_have_one_horizon(url: str) -> None:
    with Client(url) as client, pytest.raises(UnusableInput, match="Give a `horizon`"):
        client.forecast(PandasDataFrame(make_frame(1).to_pandas()))


def test_without_fugue_what_to_install_is_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = PandasDataFrame(make_frame(1).to_pandas())
    monkeypatch.setitem(sys.modules, "fugue.api", None)
    with Client(url) as client, pytest.raises(UnusableInput, match=r"outfielder-client\[distributed\]"):
        client.forecast(frame, horizon=1)
