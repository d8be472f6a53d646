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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.datasets.dataset import BoundedFindings, Finding
from service.hidden_libraries import hide

if TYPE_CHECKING:
    from service.datasets.file_options import FileOptions
    from service.datasets.quota import Quota
    from service.datasets.series_grid import GriddedSeries
    from service.datasets.table import Table
    from service.datasets.upload_limits import UploadLimits
    from service.domain.panel import Panel

UPLOAD = "upload"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
# Four columns of twenty million rows, twice over, and what the libraries map. Of larger files the same as addresses:
# their rows are in files, of which the system keeps in memory what it has room for.
MAX_MEMORY_BYTES = 6 * 2**30
MAX_CPU_SECONDS = 900
# A file of fewer is read whole, which is faster.
STREAMED_ROWS = 2_000_000


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
    from service.datasets.audit import Audit
    from service.datasets.csv_file import read_csv
    from service.datasets.parquet_file import read_parquet
    from service.datasets.series_grid import GriddedSeries, grid_each
    from service.domain.panel import Panel

    limits = limits.of_whole_files()
    table = (read_csv if media_type == CSV else read_parquet)(path, limits, options)
    findings, made, series = BoundedFindings(table.findings), Audit(), list[GriddedSeries]()

    def take(gridded: GriddedSeries) -> None:
        made.look(gridded.id, gridded.values, gridded.n_absent, name_row(gridded))
        series.append(gridded)

    freq, grid_findings = grid_each(table, limits, freq, take)
    findings += grid_findings
    values, starts = tuple(each.values for each in series), tuple(each.start for each in series)
    return Panel(tuple(each.id for each in series), values, starts, freq), made.tell(findings), table


def name_row(gridded: "GriddedSeries") -> Callable[[int], str]:
    """Names the row of a value in the file."""
    return lambda index: f"row {gridded.find_row(index)}"


def read_into(
    folder: Path,
    media_type: str,
    limits: "UploadLimits",
    options: "FileOptions",
    quota: "Quota",
    freq: str | None = None,
    *,
    least_rows: int = STREAMED_ROWS,
) -> None:
    """Reads FOLDER/upload and writes a data set beside it, as `read_file` and `write_panel` would.

    Args: `least_rows` are those of a file that is not read into memory whole, if it need not be.

    Raises:
        InvalidRequest, UploadsFull, OSError.
    """
    from service.datasets.panel_files import write_panel
    from service.datasets.panel_stream import write_table
    from service.datasets.parquet_stream import Spools, stream_parquet

    path = folder / UPLOAD
    if media_type == PARQUET:
        spools = Spools(folder)
        try:
            table = stream_parquet(path, spools, limits, options, quota, least_rows=least_rows)
            if table is not None:
                write_table(folder, table, spools, limits, quota, freq)
                return
        finally:
            spools.close()
    panel, findings, _ = read_file(path, media_type, limits, options, freq)
    write_panel(folder, panel, findings, quota, path.stat().st_size)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    # At the first limit the signal tells that it was time; at the second it would be one that memory has as well.
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS + 10))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        # Where the machine itself runs short of memory, this process is the one to end.
        Path("/proc/self/oom_score_adj").write_text("1000")
    # It would take as long to import as all else here.
    hide("pandas")
    from service.datasets.file_options import FileOptions
    from service.datasets.quota import Quota
    from service.datasets.upload_limits import UploadLimits
    from service.errors import InvalidRequest, UploadsFull
    from service.storage.disk_errors import is_disk_error

    folder, media_type, limits = Path(sys.argv[1]), sys.argv[2], UploadLimits(int(sys.argv[3]), int(sys.argv[4]))
    quota = Quota(folder.parents[1], int(sys.argv[6]) if sys.argv[6] else None)
    try:
        options, freq = FileOptions(**json.loads(sys.argv[5])), sys.argv[7] or None
        read_into(folder, media_type, limits, options, quota, freq)
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


if __name__ == "__main__":
    main()
