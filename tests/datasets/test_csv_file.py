from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.datasets import csv_file
from service.datasets.csv_file import read_csv
from service.datasets.table import Table
from service.datasets.upload_limits import UploadLimits
from service.errors import Flaw, InvalidRequest

LIMITS = UploadLimits(max_points=1000, max_series=10)


def read(path: Path, content: str | bytes, limits: UploadLimits = LIMITS) -> Table:
    file = path / "upload"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv(file, limits)


def flaw_of(path: Path, content: str | bytes, limits: UploadLimits = LIMITS) -> Flaw:
    with pytest.raises(InvalidRequest) as caught:
        read(path, content, limits)
    [flaw] = caught.value.flaws
    return flaw


@pytest.mark.parametrize(
    "text",
    [
        "unique_id,ds,y\na,2024-01-01,1.5\nb,2024-01-01,\n",
        "\ufeffunique_id,ds,y\r\na,2024-01-01,1.5\r\nb,2024-01-01,NA\r\n",
        "unique_id;ds;y\na;2024-01-01;1,5\nb;2024-01-01;\n",
        "y\tds\tunique_id\n1.5\t2024-01-01\ta\nnull\t2024-01-01\tb\n",
        "unique_id | ds | y\na|2024-01-01|1.5\nb|2024-01-01|nan\n",
        '"unique_id","ds","y"\n"a","2024-01-01","1.5"\n"b","2024-01-01",""\n',
        "unique_id,ds,y\n\na,2024-01-01T00:00:00, 1.5 \nb,2024-01-01 00:00,-",
    ],
)
def test_dialects_of_one_table_read_alike(tmp_path: Path, text: str) -> None:
    table = read(tmp_path, text)
    assert table.ids == ["a", "b"]
    assert table.series.tolist() == [0, 1]
    assert table.times is not None
    assert table.times.wall.tolist() == 2 * [np.datetime64("2024-01-01T00:00:00.000000").item()]
    assert table.times.offsets is None
    assert table.values[0] == 1.5
    assert np.isnan(table.values[1])


def test_an_id_may_look_like_a_missing_value(tmp_path: Path) -> None:
    assert read(tmp_path, "unique_id,y\nNA,1\nnull,2\n-,3\n007,4\n").ids == ["NA", "null", "-", "007"]


def test_offsets_are_read_with_and_without_a_colon(tmp_path: Path) -> None:
    table = read(tmp_path, "ds,y\n2024-01-01T00:00+01:00,1\n2024-01-01T00:00-0530,2\n2024-01-01T00:00Z,3\n")
    assert table.times is not None
    assert table.times.offsets is not None
    assert table.times.offsets.tolist() == [3600, -5 * 3600 - 1800, 0]
    assert len(set(table.times.wall.tolist())) == 1


def test_blocks_join_and_rows_are_counted_over_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "BLOCK_BYTES", 64)
    rows = [f"s{i % 7},2024-01-{i % 28 + 1:02},{i}" for i in range(500)]
    table = read(tmp_path, "\n".join(["unique_id,ds,y", *rows]))
    assert table.values.tolist() == list(range(500))
    assert [table.ids[code] for code in table.series] == [f"s{i % 7}" for i in range(500)]
    rows[321] = "s1,2024-01-01,lots"
    flaw = flaw_of(tmp_path, "\n".join(["unique_id,ds,y", *rows]))
    assert (flaw.pointer, flaw.code) == ("/y/321", "not_a_number")
    assert "Row 322 holds 'lots'" in flaw.message
    rows[321] = "s1,soon,1"
    assert flaw_of(tmp_path, "\n".join(["unique_id,ds,y", *rows])).pointer == "/ds/321"
    rows[321] = ",2024-01-01,1"
    assert flaw_of(tmp_path, "\n".join(["unique_id,ds,y", *rows])).pointer == "/unique_id/321"
    few = UploadLimits(max_points=100, max_series=10)
    assert flaw_of(tmp_path, "\n".join(["unique_id,ds,y", *rows]), few).code == "too_many_points"


def test_with_semicolons_the_row_at_fault_is_named_and_no_decimal_comma(tmp_path: Path) -> None:
    flaw = flaw_of(tmp_path, "ds;y\n2024-01-01;1,5\n2024-01-02;\n2024-01-03;many\n")
    assert (flaw.pointer, flaw.code) == ("/y/2", "not_a_number")


def test_another_column_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    flaw = flaw_of(tmp_path, "unique_id,ds,y,unique_ids\na,2024-01-01,1,4\n")
    assert flaw.code == "unknown_column"
    assert "Did you mean 'unique_id'?" in flaw.message
    assert "target_column" in flaw_of(tmp_path, "ds,y,price\n2024-01-01,1,4\n").message


@pytest.mark.parametrize("content", [b"y\n\xff\xfe\n", "y\n1\n".encode("utf-16")[:-1], b"\x00\x01\x02", b"y\n1,2\n3\n"])
def test_what_is_no_such_text_is_refused(tmp_path: Path, content: bytes) -> None:
    assert flaw_of(tmp_path, content).code in ("unreadable_file", "unknown_column", "not_a_number")


CELLS = st.sampled_from(
    [
        "2024-01-01",
        "2024-01-02",
        "1",
        "2.5",
        "1,5",
        "1.000",
        "",
        "NA",
        "a",
        '"',
        "Total",
        "inf",
        "ds",
        "y",
        "#",
        "\u00e9",
        "\u00a0",
    ]
)


@settings(deadline=None)
@given(
    st.sampled_from(["ds,y", "unique_id,ds,y", "y", "date,store,sales", ",y", "", "Month;Passengers", "sep=;"]),
    st.lists(st.lists(CELLS, min_size=0, max_size=4), max_size=12),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
)
def test_any_file_is_read_or_refused_in_words(
    header: str, rows: list[list[str]], delimiter: str, line_end: str, encoding: str
) -> None:
    content = line_end.join([header, *(delimiter.join(row) for row in rows)]).encode(encoding)
    with TemporaryDirectory() as folder, suppress(InvalidRequest):
        table = read(Path(folder), content)
        assert len(table.series) == len(table.values)
        assert not np.isinf(table.values).any()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_words(content: bytes) -> None:
    with TemporaryDirectory() as folder, suppress(InvalidRequest):
        read(Path(folder), content)
