"""Reads an uploaded file in a process of its own, so that a hostile file can only harm that process.

`python -m service.datasets.reader FOLDER MEDIA_TYPE MAX_POINTS MAX_SERIES OPTIONS QUOTA FREQ` reads FOLDER/upload and
writes a data set beside it. OPTIONS are JSON, QUOTA is the bytes that all uploads may take, and FREQ the frequency that
the sender says; the last two may be empty. One line of JSON on standard output says how it went: `{}`, `{"flaws":
[[pointer, code, message], ..]}`, `{"full": message}` where the quota leaves no room, or `{"errno": number}` where the
disk refuses. What is wrong with the reader itself goes to standard error, with exit status 1.
"""

import contextlib
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Finding

if TYPE_CHECKING:
    from service.datasets.file_options import FileOptions
    from service.datasets.table import Table
    from service.datasets.upload_limits import UploadLimits
    from service.domain.panel import Panel

UPLOAD = "upload"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
# Four columns of twenty million rows, twice over, and what the libraries map.
MAX_MEMORY_BYTES = 6 * 2**30
MAX_CPU_SECONDS = 300


def read_file(
    path: Path, media_type: str, limits: "UploadLimits", options: "FileOptions", freq: str | None = None
) -> "tuple[Panel, Sequence[Finding], Table]":
    """A file's series on their grids, all that was found, and the rows: the one way for uploads and the command line.

    Args:
        media_type: `CSV` or `PARQUET`.
        freq: the frequency of its times, where the sender says it.

    Raises:
        InvalidRequest: the file can't be read, holds more than the limits, or contradicts `freq`.
    """
    from service.datasets.audit import audit
    from service.datasets.csv_file import read_csv
    from service.datasets.parquet_file import read_parquet
    from service.datasets.series_grid import make_grids

    table = (read_csv if media_type == CSV else read_parquet)(path, limits, options)
    gridded = make_grids(table, limits, freq)
    findings = [*table.findings, *gridded.findings]
    return gridded.panel, audit(gridded.panel, findings, gridded.n_absent, _Rows(table).name), table


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    # At the first limit the signal tells that it was time; at the second it would be one that memory has as well.
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS + 10))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        # Where the machine itself runs short of memory, this process is the one to end.
        Path("/proc/self/oom_score_adj").write_text("1000")
    from service.datasets.file_options import FileOptions
    from service.datasets.panel_files import write_panel
    from service.datasets.quota import Quota
    from service.datasets.upload_limits import UploadLimits
    from service.errors import InvalidRequest, UploadsFull
    from service.storage.disk_errors import is_disk_error

    folder, media_type, limits = Path(sys.argv[1]), sys.argv[2], UploadLimits(int(sys.argv[3]), int(sys.argv[4]))
    quota = Quota(folder.parents[1], int(sys.argv[6]) if sys.argv[6] else None)
    try:
        options, freq = FileOptions(**json.loads(sys.argv[5])), sys.argv[7] or None
        panel, findings, _ = read_file(folder / UPLOAD, media_type, limits, options, freq)
        write_panel(folder, panel, findings, quota, (folder / UPLOAD).stat().st_size)
        answer: dict[str, object] = {}
    except UploadsFull as error:
        answer = {"full": error.message}
    except OSError as error:
        if not is_disk_error(error.errno):
            raise
        answer = {"errno": error.errno}
    except InvalidRequest as error:
        answer = {"flaws": [[flaw.pointer, flaw.code, flaw.message] for flaw in error.flaws]}
    except MemoryError:
        message = "The file takes more memory to read than this server gives it. Send it in several uploads."
        answer = {"flaws": [["", "unreadable_file", message]]}
    print(json.dumps(answer), flush=True)


class _Rows:
    """Finds the row of a value in the file again, whatever sorting and gaps have made of it."""

    def __init__(self, table: "Table") -> None:
        self._table = table
        self._by_series: list[NDArray[np.intp]] = []

    def name(self, series: int, index: int, value: float, n_same: int) -> str:
        """The row of a value; `index`, which is that on the grid, stands in where there is none.

        Args:
            n_same: how many values of the series are the same and of an earlier time.
        """
        if not self._by_series:
            ends = np.cumsum(np.bincount(self._table.series, minlength=len(self._table.ids)))
            self._by_series = np.split(np.argsort(self._table.series, kind="stable"), ends[:-1])
        rows = self._by_series[series]
        places = rows[self._table.values[rows] == value]
        if self._table.times is not None:
            places = places[np.argsort(self._table.times.wall[places], kind="stable")]
        if len(places) <= n_same:
            return f"value {index}"
        place, numbers = int(places[n_same]), self._table.rows
        return f"row {place + 1 if numbers is None else int(numbers[place])}"


if __name__ == "__main__":
    main()
