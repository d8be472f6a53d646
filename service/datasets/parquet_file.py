"""Reads Parquet in long format, batch by batch."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service.datasets.limits import Limits
from service.datasets.table import Table, check_columns, gather
from service.errors import InvalidRequest

BATCH_ROWS = 65_536


def read_parquet(path: Path, limits: Limits) -> Table:
    """Reads a file; what its footer says is checked before anything is decoded.

    Raises:
        InvalidRequest: no Parquet, columns that are not known, or what `service.datasets.table.gather` refuses.
    """
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            limits.check_points(file.metadata.num_rows)
            names = check_columns(file.schema_arrow.names)
            return gather(file.iter_batches(batch_size=BATCH_ROWS, columns=names, use_threads=False), limits)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        message = str(error).partition("\n")[0].replace(str(path), "the upload")[:200]
        raise InvalidRequest.at("", "unreadable_file", f"The file can't be read as Parquet: {message}") from error
