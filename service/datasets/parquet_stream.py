"""Reads long Parquet files that are larger than memory should be: numbers go to files, each series' rows together.

Two looks at the file: the first counts the rows of each id, so that the second knows where each row belongs, whatever
their order. That needs columns whose roles are known by their names and whose types need no guessing.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from service.datasets.arrow_columns import is_text
from service.datasets.column_roles import Roles, assign_by_name
from service.datasets.columns import read_ids, read_numbers
from service.datasets.file_options import FileOptions
from service.datasets.number_cells import CellPlace
from service.datasets.parquet_file import refusing_damage
from service.datasets.quota import Quota
from service.datasets.table import ONLY_ID, Table
from service.datasets.time_column import Times, read_times
from service.datasets.upload_limits import UploadLimits
from service.storage.private_files import create

BATCH_ROWS = 2**18
# What of a column chunk is read ahead.
BUFFER_BYTES = 2**20
# Rows after which pages that were written or read are given back to the system.
RELEASE_ROWS = 2**22
# Of a row: its value, its time and the offset of that, and its number in the file.
ROW_BYTES = 8 + 8 + 4 + 8


class Spools:
    """Arrays in files of a folder, which go when it is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: list[Path] = []
        self._maps: list[np.memmap[Any, Any]] = []

    def make(self, name: str, count: int, kind: Any) -> NDArray[Any]:
        """An array [count] of zeros."""
        path = self._folder / f"{name}.spool"
        with create(path) as file:
            file.truncate(count * np.dtype(kind).itemsize)
        self._paths.append(path)
        self._maps.append(np.memmap(path, kind, "r+", 0, (count,)))
        return np.asarray(self._maps[-1])

    def release(self) -> None:
        """Gives the pages back that lie in memory; what was written to them stays in the files."""
        for mapped in self._maps:
            mapped._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # where NumPy's types don't show it

    def close(self) -> None:
        for path in self._paths:
            path.unlink(missing_ok=True)


@dataclass(slots=True)
class _Ids:
    """The ids in the order in which they appear, and how many rows each has."""

    names: list[str] = field(default_factory=list)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    # Whether each series' rows stand together, one series after the other.
    are_together: bool = True


def stream_parquet(
    path: Path, spools: Spools, limits: UploadLimits, options: FileOptions, quota: Quota, *, least_rows: int
) -> Table | None:
    """The rows of a file, by series; None where it has few rows, or has to be read whole to be understood.

    Args:
        quota: where the space that it takes is reserved.
        least_rows: those of a file for which it is worth while.

    Raises:
        InvalidRequest: no Parquet, a row without id or time, a value that is no number, or over the limits.
        UploadsFull, OSError.
    """
    with refusing_damage(path):
        with pq.ParquetFile(path, memory_map=False, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            n_rows = file.metadata.num_rows
            names = file.schema_arrow.names
            roles = assign_by_name(names, options) if n_rows >= least_rows else None
            if roles is None or not n_rows or not _are_plain(file.schema_arrow, roles):
                return None
        limits.check_points(n_rows)
        quota.reserve(path.parent, path.stat().st_size + ROW_BYTES * n_rows)
        return _Rows(path, names, roles, n_rows, limits, options).spool(spools)


def _are_plain(schema: Any, roles: Roles) -> bool:
    """Whether types say what columns hold."""
    value = schema.field(roles.targets[0]).type
    if not (pa.types.is_floating(value) or pa.types.is_integer(value) or pa.types.is_decimal(value)):
        return False
    if roles.time is not None:
        time = schema.field(roles.time).type
        if not (pa.types.is_timestamp(time) or pa.types.is_date(time)):
            return False
    if roles.id is None:
        return True
    name = schema.field(roles.id).type
    kind = name.value_type if pa.types.is_dictionary(name) else name
    return bool(is_text(kind) or pa.types.is_integer(kind))


class _Rows:
    """The rows of one file, batch by batch."""

    def __init__(
        self, path: Path, names: list[str], roles: Roles, n_rows: int, limits: UploadLimits, options: FileOptions
    ) -> None:
        self._path = path
        self._names = names
        self._roles = roles
        self._n_rows = n_rows
        self._limits = limits
        self._options = options
        # The last dictionary of ids, which most batches of a row group share, and the numbers of these.
        self._codes: dict[str, int] = {}

    def spool(self, spools: Spools) -> Table:
        ids = self._count()
        bounds = np.append(0, np.cumsum(ids.counts))
        values = spools.make("values", self._n_rows, np.float64)
        wall = None if self._roles.time is None else spools.make("times", self._n_rows, "datetime64[us]")
        offsets: NDArray[np.int32] | None = None
        rows = None if ids.are_together else spools.make("rows", self._n_rows, np.int64)
        zone = None
        following = bounds[:-1].copy()
        held = 0
        for first, batch in self._batches():
            numbers, times = self._read(batch, first)
            places: Any = slice(first, first + batch.num_rows)
            if rows is not None:
                places = self._find_places(batch, first, following)
                rows[places] = np.arange(first + 1, first + batch.num_rows + 1)
            values[places] = numbers
            if times is not None and wall is not None:
                wall[places] = times.wall
                zone = times.zone
                if times.offsets is not None:
                    if offsets is None:
                        offsets = spools.make("offsets", self._n_rows, np.int32)
                    offsets[places] = times.offsets
            held += batch.num_rows
            if held >= RELEASE_ROWS:
                spools.release()
                held = 0
        spools.release()
        made = None if wall is None else Times(wall, offsets, zone)
        return Table(ids.names, np.zeros(0, np.int32), made, values, rows, self._roles.findings, bounds=bounds)

    def _count(self) -> _Ids:
        """Looks at the column of ids alone."""
        if self._roles.id is None:
            return _Ids([ONLY_ID], np.array([self._n_rows], np.int64))
        ids = _Ids()
        counts: list[NDArray[np.int64]] = []
        last = -1
        for first, batch in self._batches(only_ids=True):
            codes = self._number(batch, first)
            # New ids get the next numbers: where codes never fall, no id comes back.
            ids.are_together = ids.are_together and int(codes[0]) >= last and bool((np.diff(codes) >= 0).all())
            last = int(codes[-1])
            counts.append(np.bincount(codes, minlength=len(self._codes)))
            if len(counts) > 1:
                counts = [_add(counts)]
        return _Ids(list(self._codes), counts[0], ids.are_together)

    def _find_places(self, batch: Any, first: int, following: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the rows of a batch belong; `following` [series] are the next free places of each series."""
        codes = self._number(batch, first)
        by_code = np.argsort(codes, kind="stable")
        ordered = codes[by_code]
        begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        counts = np.diff(np.append(begins, len(ordered)))
        places = np.empty(len(codes), np.int64)
        places[by_code] = following[ordered] + np.arange(len(ordered)) - np.repeat(begins, counts)
        following[ordered[begins]] += counts
        return places

    def _number(self, batch: Any, first: int) -> NDArray[np.int32]:
        name = self._names[self._roles.id] if self._roles.id is not None else ""
        column = pa.chunked_array([batch.column(name)])

        def locate(index: int) -> CellPlace:
            return CellPlace(name, first + index + 1)

        _, codes = read_ids(column, name, locate, self._limits, self._codes)
        return codes

    def _read(self, batch: Any, first: int) -> tuple[NDArray[np.float64], Times | None]:
        target = self._names[self._roles.targets[0]]

        def locate(index: int) -> CellPlace:
            return CellPlace(target, first + index + 1)

        column = pa.chunked_array([batch.column(target)])
        numbers, _ = read_numbers(column, target, locate, self._options, None, batch.num_rows)
        if self._roles.time is None:
            return numbers, None
        time = self._names[self._roles.time]
        rows = np.arange(first + 1, first + batch.num_rows + 1)
        return numbers, read_times(batch.column(time), name=time, rows=rows)

    def _batches(self, *, only_ids: bool = False) -> Iterator[tuple[int, Any]]:
        """Batches, and how many rows stand before each."""
        roles = (self._roles.id,) if only_ids else (self._roles.id, self._roles.time, *self._roles.targets)
        wanted = [self._names[i] for i in roles if i is not None]
        # Where ids are texts, they come as categories: of millions of rows the texts would be many.
        categories = [] if self._roles.id is None else [self._names[self._roles.id]]
        first = 0
        with pq.ParquetFile(
            self._path, memory_map=False, buffer_size=BUFFER_BYTES, pre_buffer=False, read_dictionary=categories
        ) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted, use_threads=False):
                if batch.num_rows:
                    yield first, batch
                    first += batch.num_rows


def _add(counts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    total = counts[-1].copy()
    total[: len(counts[0])] += counts[0]
    return total
