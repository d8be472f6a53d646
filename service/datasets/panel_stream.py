"""Puts the rows of a large file onto their grids, and writes them as a data set without having them in memory."""

import os
from pathlib import Path

import numpy as np

from service.datasets.audit import Audit
from service.datasets.dataset import BoundedFindings
from service.datasets.panel_files import FRAME_BYTES, NUMBER_BYTES, read_raw, write_blocks
from service.datasets.parquet_stream import RELEASE_ROWS, ROW_BYTES, Spools
from service.datasets.quota import Quota
from service.datasets.reader import UPLOAD, name_row
from service.datasets.series_grid import GriddedSeries, grid_each
from service.datasets.table import Table
from service.datasets.upload_limits import UploadLimits
from service.storage.private_files import create

GRIDDED = "gridded.spool"
BUFFER_BYTES = 2**20


def write_table(
    folder: Path, table: Table, spools: Spools, limits: UploadLimits, quota: Quota, freq: str | None = None
) -> None:
    """Writes the series of a table, put on their grids and audited, as a data set of `DatasetStore.scratch`.

    Args:
        spools: what the table's arrays lie in; it is closed when they have been read.

    Raises:
        InvalidRequest: as `service.datasets.series_grid.make_grids`.
        UploadsFull, OSError.
    """
    path, size = folder / GRIDDED, (folder / UPLOAD).stat().st_size
    ids, starts, lengths = list[str](), list[str | None](), list[int]()
    audit = Audit()
    n_rows = len(table.values)
    reserved = held = n_points = 0
    with create(path) as raw, os.fdopen(os.dup(raw.fileno()), "wb", BUFFER_BYTES) as file:

        def take(gridded: GriddedSeries) -> None:
            nonlocal held, n_points, reserved
            audit.look(gridded.id, gridded.values, gridded.n_absent, name_row(gridded))
            ids.append(gridded.id)
            starts.append(gridded.start)
            lengths.append(len(gridded.values))
            n_points += len(gridded.values)
            held += len(gridded.values)
            if NUMBER_BYTES * n_points > reserved:
                reserved = NUMBER_BYTES * max(n_points, min(n_rows, 2 * n_points))
                quota.reserve(folder, size + ROW_BYTES * n_rows + reserved)
            file.write(np.ascontiguousarray(gridded.values, np.float64).data)
            if held >= RELEASE_ROWS:
                spools.release()
                held = 0

        freq, grid_findings = grid_each(table, limits, freq, take)
    findings = BoundedFindings(table.findings)
    findings += grid_findings
    spools.close()
    beside = size + NUMBER_BYTES * n_points + FRAME_BYTES
    counts = np.array(lengths, np.int64)
    write_blocks(folder, read_raw(path), counts, ids, starts, freq, audit.tell(findings), quota, beside)
    path.unlink()
