"""Reads Parquet, batch by batch."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service.datasets.column_roles import assign_by_name
from service.datasets.file_options import FileOptions
from service.datasets.table import Columns, Table, build
from service.datasets.upload_limits import UploadLimits
from service.errors import InvalidRequest
from service.storage.disk_errors import is_disk_error

BATCH_ROWS = 65_536
MAGIC = b"PAR1"
# Columns whose roles are not known yet are kept whole: so many cells for each point that may be.
CELLS_A_POINT = 4


def read_parquet(path: Path, limits: UploadLimits, options: FileOptions | None = None) -> Table:
    """Reads a file; what its footer says is checked before anything is decoded.

    Raises:
        InvalidRequest: no Parquet, or what `service.datasets.table.build` refuses.
    """
    options = options or FileOptions()
    with refusing_damage(path):
        with pq.ParquetFile(path, memory_map=False) as file:
            limits.check_points(file.metadata.num_rows)
            names = file.schema_arrow.names
            roles = assign_by_name(names, options)
            if roles is None:
                limits.check_points(file.metadata.num_rows * len(names) // CELLS_A_POINT)
            wanted = [n for i, n in enumerate(names) if roles is None or i in (roles.id, roles.time, *roles.targets)]
            batches = []
            n_rows = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted, use_threads=False):
                n_rows += batch.num_rows
                limits.check_points(n_rows)
                batches.append(batch)
            schema = pa.schema([file.schema_arrow.field(name) for name in wanted])
            table = pa.Table.from_batches(batches, batches[0].schema if batches else schema)
        made = build(Columns(table, findings=roles.findings if roles else ()), limits, options)
        return replace(made, findings=(*made.findings, *made.non_data_rows.tell({})))


@contextlib.contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Whatever keeps a Parquet file from being read is an InvalidRequest, but for what the disk refuses."""
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and is_disk_error(error.errno):
            raise
        raise InvalidRequest.at("", "unreadable_file", _explain(path)) from error


def _explain(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(file.seek(0, 2) - 4, 0))
        end = file.read(4)
    if head != MAGIC:
        return (
            "The file is no Parquet: it does not begin as such a file does. If it is CSV, send it with Content-Type: "
            "text/csv."
        )
    if end != MAGIC:
        return "The Parquet file is cut off: its end is not there. Send it whole, or write it anew."
    return (
        "The Parquet file can't be read: it is damaged, or a column that is needed has a type that is neither numbers, "
        "times nor text in UTF-8. Write it anew with columns of such types."
    )
