"""Data frames in long format: in, and out as frames of the same library."""

import shutil
import warnings
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from outfielder_client import (
    Client,
    DataFinding,
    FrequencyUnknown,
    InvalidRequest,
    Partition,
    SeriesLeftOut,
    UnusableInput,
)
from outfielder_client.frames import Columns, LongFrame, to_percent
from tests.api.server import running
from tests.client.conftest import PATIENT
from tests.serving.models import KINDS

LIBRARIES: dict[str, Any] = {
    "polars": lambda frame: frame,
    "pandas": lambda frame: frame.to_pandas(),
    "pyarrow": lambda frame: frame.to_arrow(),
}
# Each is an upload, which the service reads in a process of its own.
# Each is an upload, read in a process of its own.
FEW = settings(max_examples=max(5, settings().max_examples // 8))


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a server of its own, which keeps nothing of what it is sent."""
    root = tmp_path_factory.mktemp("models") / "store"
    shutil.copytree(store, root)
    with running(root, tmp_path_factory.mktemp("state")) as url, Client(url, retry=PATIENT) as client:
        yield client
        assert list(client.datasets()) == []


def make_frame(n_series: int = 2, n_points: int = 6, **columns: Any) -> pl.DataFrame:
    """Days of several series, each of which repeats its number."""
    days = [date(2026, 1, 1) + timedelta(days=day) for day in range(n_points)]
    made = {
        "unique_id": [f"s{number}" for number in range(n_series) for _ in days],
        "ds": days * n_series,
        "y": [float(number) for number in range(n_series) for _ in days],
    }
    return pl.DataFrame({**made, **columns})


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_frame_of_each_library_gives_one_of_the_same(server: Client, library: str) -> None:
    given_frame = LIBRARIES[library](make_frame())
    answer = server.forecast(given_frame, model="zero-shot", horizon=3, level=[80, 97.5], quantiles=[0.1, 0.975])
    assert type(answer) is type(given_frame)
    frame = pl.DataFrame(answer) if library != "pandas" else pl.from_pandas(answer)
    assert frame.columns == [
        "unique_id", "ds", "zero-shot", "zero-shot-lo-80", "zero-shot-hi-80", "zero-shot-lo-97.5", "zero-shot-hi-97.5",
        "zero-shot-q-10", "zero-shot-q-97.5",
    ]  # fmt: skip
    assert frame["unique_id"].to_list() == ["s0"] * 3 + ["s1"] * 3
    assert frame["ds"].cast(pl.Date).to_list() == [date(2026, 1, day) for day in (7, 8, 9)] * 2
    assert frame["zero-shot-q-10"].to_list() == frame["zero-shot-lo-80"].to_list()


ZONES = (None, "UTC", "Europe/Berlin", "America/New_York")
STEPS = {"1d": "D", "1h": "h", "15m": "15min", "1mo": "MS"}


@FEW
@given(
    n_points=st.integers(5, 40),
    step=st.sampled_from(sorted(STEPS)),
    zone=st.sampled_from(ZONES),
    unit=st.sampled_from(["ms", "us", "ns"]),
    library=st.sampled_from(sorted(LIBRARIES)),
    # Up to 2037: behind that, libraries don't agree on when a zone's clocks change.
    begin=st.datetimes(datetime(2000, 1, 1), datetime(2031, 1, 1)),
    shuffled=st.randoms(use_true_random=False),
)
# A zone with an underscore, which narwhals doesn't know of pandas.
@example(5, "15m", "America/New_York", "ms", "pandas", datetime(2000, 1, 1), Random(0))
def test_what_comes_back_goes_on_where_the_frame_ends(
    server: Client, n_points: int, step: str, zone: str | None, unit: Any, library: str, begin: datetime, shuffled: Any
) -> None:
    # Behind the day's first hours there is no change of clocks: days then have one midnight.
    begin = begin.replace(hour=0, minute=0, second=0, microsecond=0, day=1)
    horizon = 3
    stamps = pl.datetime_range(begin, begin + timedelta(days=32 * 50), step, eager=True, time_zone=zone, time_unit=unit)
    stamps = stamps.head(n_points + horizon)
    places = list(range(n_points))
    shuffled.shuffle(places)
    values = [float(place % 7) for place in range(n_points)]
    frame = pl.DataFrame({"ds": stamps.head(n_points), "y": values})[places]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataFinding)
        answer = server.forecast(LIBRARIES[library](frame), model="lstm", horizon=horizon, freq=STEPS[step])
    back = pl.from_pandas(answer) if library == "pandas" else pl.DataFrame(answer)
    expected = stamps.tail(horizon)
    assert back["ds"].cast(expected.dtype).to_list() == expected.to_list()
    assert back["lstm"].to_list() == pytest.approx(KINDS["lstm"].expected(values, horizon), rel=1e-4, abs=1e-4)
    # The column is of the type that it was.
    if library == "pandas":
        assert answer["ds"].dtype == LIBRARIES["pandas"](frame)["ds"].dtype
    else:
        assert back.schema["ds"] == frame.schema["ds"]


IDS = st.one_of(
    st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=5, unique=True),
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8).filter(str.strip),
        min_size=1,
        max_size=5,
        unique_by=str.strip,
    ).filter(lambda ids: all(each == each.strip() for each in ids)),
    st.lists(st.dates(date(1990, 1, 1), date(2030, 1, 1)), min_size=1, max_size=5, unique=True),
)


@FEW
@given(ids=IDS, timed=st.booleans(), library=st.sampled_from(["polars", "pyarrow"]))
def test_ids_come_back_as_they_are_or_are_refused(server: Client, ids: list[Any], timed: bool, library: str) -> None:
    days: list[Any] = [date(2026, 1, 1) + timedelta(days=day) for day in range(4)] if timed else [1, 2, 3, 4]
    frame = pl.DataFrame(
        {
            "unique_id": [name for name in ids for _ in range(4)],
            "ds": days * len(ids),
            "y": [float(place) for place in range(len(ids)) for _ in range(4)],
        }
    )
    try:
        answer = pl.DataFrame(server.forecast(LIBRARIES[library](frame), model="lstm", horizon=1))
    except (UnusableInput, InvalidRequest):
        # A word for missing values, such as NA, or a text that is blank for the service.
        assert all(isinstance(each, str) for each in ids)
        return
    assert answer["unique_id"].to_list() == ids
    assert answer["unique_id"].dtype == frame["unique_id"].dtype
    assert answer["lstm"].to_list() == pytest.approx([place + 0.1 for place in range(len(ids))], abs=1e-4)


def test_categories_small_integers_and_floats_keep_their_types(server: Client) -> None:
    frame = make_frame(2).with_columns(
        pl.col("unique_id").cast(pl.Categorical), pl.col("y").cast(pl.Float32), extra=pl.lit("x")
    )
    answer = server.forecast(frame, model="lstm", horizon=1)
    assert answer.schema["unique_id"] == pl.Categorical
    small = make_frame(1).with_columns(unique_id=pl.lit(7, pl.Int8), y=pl.col("y").cast(pl.Int16))
    assert server.forecast(small, model="lstm", horizon=1).schema["unique_id"] == pl.Int8
    objects = make_frame(1).to_pandas().astype({"unique_id": "object", "y": "object"})
    assert server.forecast(objects, model="lstm", horizon=1)["unique_id"].tolist() == ["s0"]


def test_columns_may_have_other_names_and_an_index_of_pandas_does_no_harm(server: Client) -> None:
    frame = make_frame().rename({"unique_id": "shop", "ds": "day", "y": "sales"}).to_pandas()
    frame.index = pd.Index(range(100, 100 + len(frame)), name="row")
    answer = server.forecast(frame, model="lstm", horizon=1, id_col="shop", time_col="day", target_col="sales")
    assert list(answer.columns) == ["shop", "day", "lstm"]


def test_a_frame_without_ids_is_one_series_and_one_without_times_counts_steps(server: Client) -> None:
    frame = make_frame(1).select("ds", "y")
    assert server.forecast(frame, model="lstm", horizon=1).columns == ["ds", "lstm"]
    steps = server.forecast(pl.DataFrame({"y": [1.0, 2.0, 3.0, None]}), model="lstm", horizon=2)
    # Missing values at the end are no data: the forecast begins behind the last measured one.
    assert steps["ds"].to_list() == [3, 4]
    counted = server.forecast(pl.DataFrame({"ds": [30, 10, 20], "y": [3.0, 1.0, 2.0]}), model="lstm", horizon=2)
    assert counted["ds"].to_list() == [40, 50]
    assert counted["lstm"].to_list() == pytest.approx([2.1, 2.2], rel=1e-5)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"ds": [1, 2, 4], "y": [1, 2, 3]}), "2 is followed by 4"),
        (pl.DataFrame({"ds": [1, 1, 1], "y": [1, 2, 3]}), "1 is followed by 1"),
        (pl.DataFrame({"ds": [202401, 202402, 202403], "y": [1, 2, 3]}), "look like dates"),
        (pl.DataFrame({"ds": [20240101, 20240102], "y": [1, 2]}), "look like dates"),
        (pl.DataFrame({"ds": [1, None, 3], "y": [1, 2, 3]}), "a row without ds"),
        (pl.DataFrame({"ds": ["2026-01-01"], "value": [1]}), "no column 'y'; its columns are 'ds', 'value'"),
        (pl.DataFrame({"ds": ["2026-01-01"], "y": ["1"]}), "Expected numbers in the column 'y', got String"),
        (pl.DataFrame({"ds": ["2026-01-01"], "y": [True]}), "Expected numbers"),
        (pl.DataFrame({"unique_id": ["a", None], "ds": [1, 2], "y": [1, 2]}), "Row 1 of the frame has no unique_id"),
        (pl.DataFrame({"ds": [], "y": []}, schema={"ds": pl.Date, "y": pl.Float64}), "no rows"),
    ],
)
def test_a_frame_that_can_be_read_in_no_way_is_refused_with_the_reason(
    server: Client, frame: pl.DataFrame, message: str
) -> None:
    for library in ("polars", "pyarrow"):
        with pytest.raises(UnusableInput, match=message):
            server.forecast(LIBRARIES[library](frame), model="lstm", horizon=1)


def test_ids_that_read_the_same_are_refused(server: Client) -> None:
    frame = pd.DataFrame({"unique_id": [1, "1"], "ds": ["2026-01-01", "2026-01-02"], "y": [1.0, 2.0]})
    with pytest.raises(UnusableInput, match="read the same"):
        server.forecast(frame, model="lstm")
    with pytest.raises(UnusableInput, match="knows 1 of the 2 ids"):
        server.forecast(make_frame(2).with_columns(unique_id=pl.col("unique_id").replace("s1", "s0 ")), model="lstm")


@pytest.mark.parametrize("name", ["start", "explain", "fitted", "all_steps"])
def test_what_has_no_place_in_a_frame_is_refused(server: Client, name: str) -> None:
    argument: dict[str, Any] = {name: "2026-01-01" if name == "start" else True}
    with pytest.raises(UnusableInput, match=f"{name}: has no place in a frame"):
        server.forecast(make_frame(), model="lstm", **argument)


def test_times_of_no_frequency_are_told_and_nothing_is_guessed(server: Client) -> None:
    stamps = [datetime(2026, 1, 1), datetime(2026, 1, 3, 7), datetime(2026, 1, 3, 9, 13), datetime(2026, 2, 1)]
    irregular = pl.DataFrame({"ds": stamps, "y": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(FrequencyUnknown, match="follow no one frequency"):
        server.forecast(irregular, model="lstm")
    months = pl.DataFrame(
        {
            "unique_id": ["m"] * 6,
            "ds": [date(2025, month, 1) for month in range(1, 7)],
            "y": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        }
    )
    with pytest.raises(FrequencyUnknown, match="series 'm'"):
        server.forecast(pl.concat([make_frame(3), months]), model="lstm")
    with pytest.raises(InvalidRequest) as caught:
        server.forecast(make_frame(), model="lstm", freq="h")
    assert caught.value.code == "frequency_mismatch"


def test_gaps_are_filled_as_the_service_does_and_said(server: Client) -> None:
    frame = make_frame(1, 8).filter(pl.col("ds") != date(2026, 1, 4))
    with pytest.warns(DataFinding, match="s0"):
        answer = server.forecast(frame, model="lstm", horizon=1)
    assert answer["ds"].to_list() == [date(2026, 1, 9)]


def test_a_series_that_can_not_be_forecast_is_left_out_with_a_warning(server: Client) -> None:
    frame = make_frame(3).with_columns(y=pl.when(pl.col("unique_id") == "s1").then(None).otherwise(pl.col("y")))
    for timed in (True, False):
        given_frame = frame if timed else frame.drop("ds")
        with pytest.warns(SeriesLeftOut, match="s1: All values of the series are null"):
            answer = server.forecast(given_frame, model="lstm", horizon=1)
        assert answer["unique_id"].to_list() == ["s0", "s2"]


def test_anomalies_of_a_frame_are_rows_of_its_history(server: Client) -> None:
    values = [12.0, 15.0, 11.0, 18.0, 30.0, 41.0, 20.0] * 6
    values[38] = 300.0
    days = [date(2026, 1, 5) + timedelta(days=day) for day in range(42)]
    frame = pl.DataFrame({"unique_id": ["a"] * 42 + ["b"] * 42, "ds": days * 2, "y": values + values[::-1]})
    expected = server.anomalies({"a": values, "b": values[::-1]}, model="zero-shot", freq="D", start="2026-01-05")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataFinding)
        timed = server.anomalies(frame, model="zero-shot")
        with Client(server.url, retry=PATIENT, partition=Partition(max_points=50)) as cut:
            parts = cut.anomalies(frame, model="zero-shot")
    assert parts.drop("zero-shot", "zero-shot-lo-99", "zero-shot-hi-99").equals(
        timed.drop("zero-shot", "zero-shot-lo-99", "zero-shot-hi-99")
    )
    by_steps = server.anomalies(frame.drop("ds"), model="zero-shot")
    for answer in (timed, by_steps):
        assert answer.columns == ["unique_id", "ds", "y", "zero-shot", "zero-shot-lo-99", "zero-shot-hi-99", "anomaly"]
        assert answer["y"].to_list() == frame["y"].to_list()
        for place, series in enumerate(expected["series"]):
            rows = answer[42 * place : 42 * (place + 1)]
            assert [i for i, outside in enumerate(rows["anomaly"]) if outside] == series["anomalies"]
            if answer is timed:
                assert rows["zero-shot"].to_list() == series["values"]
    assert timed["ds"].to_list() == frame["ds"].to_list()
    assert timed.filter("anomaly")["ds"].to_list()[0] == days[38]


def test_a_backtest_and_an_upload_read_a_frame_as_a_forecast_does(server: Client) -> None:
    frame = make_frame(2, 20).rename({"unique_id": "shop", "ds": "day", "y": "sales"})
    names: dict[str, Any] = {"id_col": "shop", "time_col": "day", "target_col": "sales"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataFinding)
        scores = server.backtest(frame, model="lstm", horizon=2, **names)
        assert [series["id"] for series in scores["series"]] == ["s0", "s1"]
        dataset = server.upload(frame, **names)
    assert (dataset["n_series"], dataset["freq"]) == (2, "D")
    server.delete_dataset(dataset["id"])


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    max_points=st.integers(1, 20),
    max_series=st.integers(1, 5),
    shuffled=st.randoms(use_true_random=False),
)
def test_a_part_has_whole_series_in_order_and_no_row_is_lost(
    sizes: list[int], max_points: int, max_series: int, shuffled: Any
) -> None:
    rows = [(place, step) for place, size in enumerate(sizes) for step in range(size)]
    shuffled.shuffle(rows)
    frame = pl.DataFrame({"unique_id": [r[0] for r in rows], "ds": [r[1] for r in rows], "y": [1.0] * len(rows)})
    import narwhals as nw

    whole = LongFrame(nw.from_native(frame, eager_only=True), Columns())
    parts = whole.split(max_points, max_series)
    assert [name for part in parts for name in part.ids] == whole.ids
    joined = pl.concat([part.frame.to_native() for part in parts])
    assert sorted(joined.rows()) == sorted(frame.rows())
    for part in parts:
        assert part.n_series <= max_series
        assert len(part.frame) <= max_points or part.n_series == 1


@pytest.mark.parametrize(
    ("quantile", "percent"), [("0.1", "10"), ("0.975", "97.5"), ("0.07", "7"), ("0.001", "0.1"), ("0.99", "99")]
)
def test_quantiles_are_named_in_percent(quantile: str, percent: str) -> None:
    assert to_percent(quantile) == percent


def test_arrow_tables_keep_their_types(server: Client) -> None:
    table = pa.table({"ds": pa.array([date(2026, 1, day) for day in range(1, 8)]), "y": np.arange(7.0)})
    assert server.forecast(table, model="lstm", horizon=2).schema.field("ds").type == pa.date32()
