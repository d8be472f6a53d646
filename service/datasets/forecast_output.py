"""Writes the forecasts of a job as a data set: a Parquet file of all that was forecast, and a panel of the values."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from service.datasets.answer_table import METADATA_KEY, make_table
from service.datasets.audit import Audit
from service.datasets.dataset import Finding
from service.datasets.dataset_folder import PLACE
from service.datasets.dataset_reader import FORECASTS
from service.datasets.panel_files import FRAME_BYTES, NUMBER_BYTES, read_raw, write_blocks
from service.datasets.store import DatasetStore
from service.domain.forecast_columns import ForecastColumns
from service.errors import DatasetNotFound
from service.storage.disk_errors import storing
from service.storage.private_files import append, create

# Of a row group.
GROUP_ROWS = 2**17
# What is reserved ahead of what is written.
AHEAD_BYTES = 2**26
VALUES = "values.spool"


@contextlib.contextmanager
def open_output(
    store: DatasetStore, job_id: str, freq: str | None, dataset_id: str
) -> Iterator["ForecastOutput | dict[str, Any]"]:
    """The output of a job; what an earlier run of it kept, if one did. What is not kept goes.

    Args:
        freq: that of the series.
        dataset_id: the upload that is forecast.
    """
    kept_id = hashlib.sha256(f"forecast {job_id}".encode()).hexdigest()[:32]
    try:
        store.get(kept_id)
    except DatasetNotFound:
        pass
    else:
        yield describe(store, kept_id)
        return
    scratch = store.scratch()
    try:
        with storing(PLACE):
            output = ForecastOutput(store, scratch, kept_id, freq, dataset_id)
        try:
            yield output
        finally:
            output.close()
    finally:
        store.discard(scratch)


def describe(store: DatasetStore, dataset_id: str) -> dict[str, Any]:
    """What a job's result tells of kept forecasts. Raises DatasetNotFound, StorageUnavailable."""
    dataset = store.get(dataset_id)
    with store.open_forecasts(dataset_id) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        with pq.ParquetFile(file) as table:
            head = orjson.loads(table.schema_arrow.metadata[METADATA_KEY])
            # Of a series without a forecast there is one row.
            n_errors = table.metadata.num_rows - dataset.n_points
    counts = {"n_series": dataset.n_series + n_errors, "n_forecasts": dataset.n_series}
    return {**head, "dataset": dataset_id, **counts, "bytes": n_bytes}


class ForecastOutput:
    """Forecasts on their way to a data set. Its methods block; all raise UploadsFull and StorageUnavailable."""

    def __init__(self, store: DatasetStore, scratch: Path, kept_id: str, freq: str | None, source_id: str) -> None:
        self._store = store
        self._scratch = scratch
        self._kept_id = kept_id
        self._freq = freq
        self._source_id = source_id
        self._file = _GrowingParquet(scratch / FORECASTS)
        self._values = create(scratch / VALUES)
        self._ids: list[str] = []
        self._starts: list[str | None] = []
        self._horizon = 0
        self._audit = Audit()
        self._head: dict[str, Any] = {}
        self._reserved = 0

    def write(self, columns: ForecastColumns, head: Mapping[str, Any]) -> None:
        """Adds forecasts of further series. `head` is what holds for all of them."""
        with storing(PLACE):
            self._head = {**head, "source": self._source_id}
            self._horizon = columns.horizon
            self._reserve(NUMBER_BYTES * (2 + len(columns.columns)) * columns.horizon * len(columns.ids))
            self._file.write(make_table(columns, keeps_text=False), columns.horizon, orjson.dumps(self._head))
            good = [name for name, error in zip(columns.ids, columns.errors, strict=True) if error is None]
            self._ids += good
            self._starts += [None if stamps is None else stamps[0] for stamps in columns.stamps]
            append(self._values, np.ascontiguousarray(columns.columns["forecast"], np.float64).tobytes())
            for name, error in zip(columns.ids, columns.errors, strict=True):
                if error is not None:
                    code, _, message = error.partition(": ")
                    self._audit.add(Finding(code, name, f"It has no forecast. {message}"))
            # What is written for hours is not what a crash left.
            os.utime(self._scratch)

    def keep(self) -> dict[str, Any]:
        """Shows what was written, at once and whole. Returns what is to be told of it."""
        with storing(PLACE):
            self._file.close()
            self._values.close()
            told = (
                f"These are the forecasts of the data set {self._source_id} by version "
                f"{self._head['version']} of {self._head['model']!r}."
            )
            beside = _size(self._scratch)
            self._reserve(NUMBER_BYTES * self._horizon * len(self._ids) + FRAME_BYTES)
            dataset = write_blocks(
                self._scratch,
                read_raw(self._scratch / VALUES),
                np.full(len(self._ids), self._horizon, np.int64),
                self._ids,
                self._starts,
                self._freq,
                self._audit.tell([Finding("forecasts", None, told)]),
                self._store.quota,
                beside,
            )
            (self._scratch / VALUES).unlink()
        self._store.adopt_as(self._scratch, dataset, self._kept_id)
        return describe(self._store, self._kept_id)

    def close(self) -> None:
        """Closes the files. May be called again."""
        # Whatever is wrong with them was told where they were written to.
        with contextlib.suppress(OSError):
            self._file.abandon()
        with contextlib.suppress(OSError):
            self._values.close()

    def _reserve(self, n_bytes: int) -> None:
        """Sees that there is room for so much more."""
        needed = _size(self._scratch) + n_bytes
        if needed > self._reserved:
            self._reserved = self._store.quota.reserve(self._scratch, needed, needed + AHEAD_BYTES)


class _GrowingParquet:
    """A Parquet file to which tables are added, whose columns may become more: what was written is then written anew.

    So a column is there only where a series has need of it, as in the answers to requests.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._schema: pa.Schema | None = None
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._n_waiting = 0

    def write(self, table: pa.Table, horizon: int, head: bytes) -> None:
        """Args: `head` is JSON about the whole, for the schema's metadata."""
        schema = table.schema if self._schema is None else _join(self._schema, table.schema)
        schema = schema.with_metadata({METADATA_KEY: head})
        if self._schema is None or not schema.equals(self._schema):
            self._widen(schema, horizon)
        self._waiting.append(_fit(table, schema, horizon))
        self._n_waiting += table.num_rows
        if self._n_waiting >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Ends the file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _flush(self) -> None:
        if self._waiting:
            assert self._writer is not None
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=GROUP_ROWS)
        self._waiting, self._n_waiting = [], 0

    def _widen(self, schema: pa.Schema, horizon: int) -> None:
        self._waiting = [_fit(table, schema, horizon) for table in self._waiting]
        self._schema = schema
        before, self._writer = self._writer, None
        if before is None:
            self._writer = self._open(self._path)
            return
        before.close()
        aside = self._path.with_suffix(".wider")
        self._writer = self._open(aside)
        with pq.ParquetFile(self._path) as file:
            for i in range(file.metadata.num_row_groups):
                self._writer.write_table(_fit(file.read_row_group(i), schema, horizon), row_group_size=GROUP_ROWS)
        aside.rename(self._path)

    def _open(self, path: Path) -> pq.ParquetWriter:
        create(path).close()
        return pq.ParquetWriter(path, self._schema)


def _join(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    """The columns of both, in the order of answers, with types that hold both."""
    names = dict.fromkeys(("unique_id", "ds", "step", *one.names, *other.names))
    fields = []
    for name in [*(name for name in names if name != "error"), "error"]:
        types = [schema.field(name).type for schema in (one, other) if name in schema.names]
        if types:
            fields.append(pa.field(name, types[0] if types[0] == types[-1] else _join_types(types[0], types[-1])))
    return pa.schema(fields)


def _join_types(one: Any, other: Any) -> Any:
    """Of times of two zones UTC; of others text."""
    has_zones = all(pa.types.is_timestamp(kind) and kind.tz is not None for kind in (one, other))
    return pa.timestamp("us", tz="UTC") if has_zones else pa.string()


def _fit(table: pa.Table, schema: pa.Schema, horizon: int) -> pa.Table:
    """A table with all columns of a schema: nulls in those that it has not, but for steps, which can be counted."""
    columns = {}
    for field in schema:
        if field.name in table.column_names:
            columns[field.name] = table.column(field.name).cast(field.type)
        elif field.name == "step":
            is_row = np.ones(table.num_rows, np.bool_)
            if "error" in table.column_names:
                is_row = np.asarray(table.column("error").is_null().to_numpy(), np.bool_)
            steps = (np.cumsum(is_row) - 1) % horizon + 1
            columns[field.name] = pa.array(steps.astype(np.int32), mask=~is_row)
        else:
            columns[field.name] = pa.nulls(table.num_rows, field.type)
    return pa.table(columns, schema=schema)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
