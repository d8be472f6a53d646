"""Frames as Arrow streams: one request, the numbers and times of an upload, and nothing that is kept."""

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outfielder_client import (
    Client,
    DataFinding,
    InvalidRequest,
    Partition,
    RequestRefused,
    SeriesLeftOut,
    UnusableInput,
)
from tests.api.server import running
from tests.client.conftest import PATIENT, Make
from tests.client.proxy import Proxy, proxying

ROOT = Path(__file__).parents[2]
# Each is an upload, read in a process of its own, besides.
FEW = settings(max_examples=max(8, settings().max_examples // 4))


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    root = tmp_path_factory.mktemp("models") / "store"
    shutil.copytree(store, root)
    # So small that a test has a frame which is too large for the body of a request.
    limits: dict[str, Any] = {"max_body_values": 2000, "max_body_series": 100}
    with running(root, tmp_path_factory.mktemp("state"), **limits) as url, Client(url, retry=PATIENT) as client:
        yield client


@pytest.fixture
def watched(server: Client) -> Iterator[Proxy]:
    with proxying(int(server.url.rpartition(":")[2])) as proxy:
        yield proxy


def make_frame(n_series: int = 3, n_points: int = 24) -> pl.DataFrame:
    days = [date(2026, 1, 1) + timedelta(days=day) for day in range(n_points)]
    return pl.DataFrame(
        {
            "unique_id": [f"s{number}" for number in range(n_series) for _ in days],
            "ds": days * n_series,
            "y": [float(number + day % 7) for number in range(n_series) for day in range(n_points)],
        }
    )


TIMES: dict[str, Any] = {
    "dates": lambda times: times.dt.date(),
    "wall times": lambda times: times,
    "UTC": lambda times: times.dt.replace_time_zone("UTC"),
    "a zone": lambda times: times.dt.replace_time_zone("America/New_York", ambiguous="earliest"),
    "texts": lambda times: times.dt.to_string("%Y-%m-%d"),
    "texts with hours": lambda times: times.dt.to_string("%Y-%m-%dT%H:%M:%S"),
}
LIBRARIES: dict[str, Any] = {
    "polars": lambda frame: frame,
    "pandas": lambda frame: frame.to_pandas(),
    "pyarrow": lambda frame: frame.to_arrow(),
}


def attempt(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What a call gives, or the codes with which it is refused."""
    try:
        return call(), []
    except InvalidRequest as error:
        return None, [flaw.code for flaw in error.flaws]


@FEW
@given(
    sizes=st.lists(st.integers(5, 30), min_size=1, max_size=4),
    absent=st.sets(st.integers(0, 60)),
    missing=st.sets(st.integers(0, 60)),
    times=st.sampled_from(sorted(TIMES)),
    library=st.sampled_from(sorted(LIBRARIES)),
    shuffled=st.randoms(use_true_random=False),
)
def test_a_frame_gives_what_its_upload_gives(
    server: Client, sizes: list[int], absent: set[int], missing: set[int], times: str, library: str, shuffled: Any
) -> None:
    rows = [(f"shop {number}", day) for number, size in enumerate(sizes) for day in range(size)]
    # The first two days and the last stay, so that a day is the step.
    kept = [row for place, row in enumerate(rows) if place not in absent or row[1] < 2 or row[1] == sizes[0] - 1]
    shuffled.shuffle(kept)
    frame = pl.DataFrame(
        {
            "unique_id": [name for name, _ in kept],
            "ds": TIMES[times](pl.Series([datetime(2026, 1, 5) + timedelta(days=day) for _, day in kept])),
            "y": [None if place in missing else float(day % 7) for place, (_, day) in enumerate(kept)],
        }
    )
    asked: dict[str, Any] = {"model": "zero-shot", "horizon": 3, "level": [80], "quantiles": [0.25]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = server.upload(LIBRARIES[library](frame))
        expected, refused = attempt(lambda: server.forecast(dataset=dataset["id"], **asked)["forecasts"])
        server.delete_dataset(dataset["id"])
        answer, refused_too = attempt(lambda: server.forecast(LIBRARIES[library](frame), **asked))
    assert refused_too == refused
    if refused:
        return
    found = pl.from_pandas(answer) if library == "pandas" else pl.DataFrame(answer)
    good = {series["id"]: series for series in expected if "error" not in series}
    assert set(found["unique_id"].unique()) == good.keys()
    for name, series in good.items():
        rows_of_one = found.filter(pl.col("unique_id") == name)
        for column, values in (
            ("zero-shot", series["values"]),
            ("zero-shot-lo-80", series["intervals"]["80"]["lower"]),
            ("zero-shot-hi-80", series["intervals"]["80"]["upper"]),
            ("zero-shot-q-25", series["quantiles"]["0.25"]),
        ):
            assert rows_of_one[column].to_list() == pytest.approx(values, rel=1e-6, abs=1e-6)
        if times.startswith("texts"):
            assert rows_of_one["ds"].to_list() == series["timestamps"]
        else:
            stamps = [datetime.fromisoformat(stamp.partition("[")[0]) for stamp in series["timestamps"]]
            found_stamps = rows_of_one["ds"].cast(pl.Datetime("us")) if times == "dates" else rows_of_one["ds"]
            assert found_stamps.to_list() == stamps


@pytest.mark.parametrize("times", TIMES)
def test_a_frame_is_one_request_and_nothing_is_uploaded(make: Make, server: Client, watched: Proxy, times: str) -> None:
    frame = make_frame().with_columns(ds=TIMES[times](pl.col("ds").cast(pl.Datetime("us"))))
    with make(watched.url, retry=PATIENT) as client:
        answer = client.forecast(frame, model="lstm", horizon=2)
    assert len(answer) == 6
    assert watched.passed == {"POST /forecast": 1}
    assert list(server.datasets()) == []


def test_a_stream_that_lacks_its_end_is_asked_for_again(make: Make, watched: Proxy) -> None:
    """Without it, a stream that was cut between two batches would be read as one of fewer rows."""
    watched.faults = ["short"]
    with make(watched.url, retry=PATIENT) as client:
        assert len(client.forecast(make_frame(), model="lstm", horizon=2)) == 6
    assert watched.met == ["short"]
    assert watched.passed == {"POST /forecast": 2}


def test_options_may_be_numbers_and_arrays_of_numpy(server: Client) -> None:
    asked: dict[str, Any] = {"level": np.array([80, 97.5]), "season": np.int64(7), "quantiles": (np.float32(0.5),)}
    answer = server.forecast(make_frame(1), model="zero-shot", horizon=1, non_negative=True, **asked)
    assert answer.columns[3:] == [f"zero-shot-{name}" for name in ("lo-80", "hi-80", "lo-97.5", "hi-97.5", "q-50")]


def test_parts_are_streams_too(make: Make, server: Client, watched: Proxy) -> None:
    frame = make_frame(10)
    whole = server.forecast(frame, model="lstm", horizon=2)
    with make(watched.url, retry=PATIENT, partition=Partition(max_points=50)) as client:
        answer = client.forecast(frame, model="lstm", horizon=2)
    assert answer.drop("lstm").equals(whole.drop("lstm"))
    assert answer["lstm"].to_list() == pytest.approx(whole["lstm"].to_list(), rel=1e-5)
    assert watched.passed == {"POST /forecast": 5}


def test_a_frame_that_is_too_large_for_a_request_is_uploaded(make: Make, server: Client, watched: Proxy) -> None:
    with make(watched.url, retry=PATIENT) as client:
        assert len(client.forecast(make_frame(120, 24), model="lstm", horizon=1)) == 120
    assert watched.passed["POST /datasets"] == 1
    assert watched.passed["POST /forecast"] == 2
    assert list(server.datasets()) == []


def test_what_is_wrong_with_a_request_is_told_once_and_not_tried_as_an_upload(server: Client, watched: Proxy) -> None:
    with Client(watched.url, retry=PATIENT) as client:
        for wrong, code in (
            ({"horizon": 100_000}, "horizon_out_of_bounds"),
            ({"level": [0.8]}, "level_is_fraction"),
            ({"model": "nobody"}, "model_not_found"),
            ({"horizont": 3}, "unknown_field"),
            ({"freq": "h"}, "frequency_mismatch"),
        ):
            asked: dict[str, Any] = {"model": "lstm", **wrong}
            with pytest.raises(RequestRefused) as caught:
                client.forecast(make_frame(), **asked)
            assert caught.value.code == code
    assert watched.passed == {"POST /forecast": 5}


def test_a_series_that_can_not_be_forecast_is_told_with_its_reason(server: Client) -> None:
    frame = make_frame(4).with_columns(y=pl.when(pl.col("unique_id") == "s2").then(None).otherwise(pl.col("y")))
    with pytest.warns(SeriesLeftOut, match="s2: All values of the series are null") as caught:
        answer = server.forecast(frame, model="lstm", horizon=1)
    assert answer["unique_id"].to_list() == ["s0", "s1", "s3"]
    assert len(caught) == 1
    # In whichever part it is.
    cut = Client(server.url, retry=PATIENT, partition=Partition(max_points=24))
    with cut, pytest.warns(SeriesLeftOut, match="s2: All values of the series are null"):
        assert cut.forecast(frame, model="lstm", horizon=1)["unique_id"].to_list() == ["s0", "s1", "s3"]


def test_what_the_service_filled_is_told(server: Client) -> None:
    frame = make_frame(2).filter((pl.col("unique_id") != "s1") | (pl.col("ds") != date(2026, 1, 9)))
    with pytest.warns(DataFinding, match="s1: 1 of 24 time stamps"):
        server.forecast(frame, model="lstm", horizon=1)


def test_a_column_of_several_kinds_is_refused_with_the_reason(server: Client) -> None:
    frame = make_frame(1, 4).to_pandas()
    frame["y"] = frame["y"].astype(object)
    frame.loc[1, "y"] = "many"
    with pytest.raises(UnusableInput, match="several kinds"):
        server.forecast(frame, model="lstm")


def test_without_pyarrow_a_frame_is_uploaded(server: Client) -> None:
    program = f"""
import sys
sys.modules["pyarrow"] = None
import polars as pl
from datetime import date
from outfielder_client import Client
frame = pl.DataFrame({{"ds": [date(2026, 1, day) for day in range(1, 8)], "y": [1.0, 2, 3, 4, 5, 6, 7]}})
print(Client({server.url!r}).forecast(frame, model="lstm", horizon=1)["ds"].to_list())
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.stdout == "[datetime.date(2026, 1, 8)]\n", ran.stderr


def test_a_table_of_arrow_may_have_views_and_categories(server: Client) -> None:
    frame = make_frame(2)
    table = pa.table(
        {
            "unique_id": pa.array(frame["unique_id"].to_list()).dictionary_encode(),
            "ds": pa.array(frame["ds"].to_list()).cast(pa.timestamp("s")),
            "y": pa.array(frame["y"].to_list(), pa.float32()),
        }
    )
    answer = server.forecast(table, model="lstm", horizon=1)
    assert answer.schema.field("ds").type == pa.timestamp("s")
    assert answer.column("unique_id").to_pylist() == ["s0", "s1"]
    views = table.set_column(0, "unique_id", pa.array(frame["unique_id"].to_list(), pa.string_view()))
    assert server.forecast(views, model="lstm", horizon=1).column("unique_id").to_pylist() == ["s0", "s1"]
