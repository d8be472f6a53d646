"""Reads an uploaded file, as a program of its own: what a hostile file does, it does to a process that has no duties.

`python -m service.datasets.read FOLDER MEDIA_TYPE MAX_POINTS MAX_SERIES` reads FOLDER/upload and writes a data set
beside it. One line of JSON on standard output says how it went: `{}`, or `{"flaws": [[pointer, code, message], ..]}`.
"""

import contextlib
import json
import resource
import sys
from pathlib import Path

UPLOAD = "upload"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
# Four columns of twenty million rows, twice over, and what the libraries map.
MAX_MEMORY_BYTES = 6 * 2**30
MAX_CPU_SECONDS = 300


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        # Where the machine itself runs short of memory, this process is the one to end.
        Path("/proc/self/oom_score_adj").write_text("1000")
    from service.datasets.audit import audit
    from service.datasets.csv_file import read_csv
    from service.datasets.grid import make_grids
    from service.datasets.limits import Limits
    from service.datasets.parquet_file import read_parquet
    from service.datasets.store import write_panel
    from service.errors import InvalidRequest

    folder, media_type, limits = Path(sys.argv[1]), sys.argv[2], Limits(int(sys.argv[3]), int(sys.argv[4]))
    read = read_csv if media_type == CSV else read_parquet
    try:
        gridded = make_grids(read(folder / UPLOAD, limits), limits)
        write_panel(folder, gridded.panel, audit(gridded.panel, gridded.findings, gridded.n_absent))
        answer: dict[str, object] = {}
    except InvalidRequest as error:
        answer = {"flaws": [[flaw.pointer, flaw.code, flaw.message] for flaw in error.flaws]}
    except MemoryError:
        message = "The file takes more memory to read than this server gives it. Send it in several uploads."
        answer = {"flaws": [["", "unreadable_file", message]]}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
