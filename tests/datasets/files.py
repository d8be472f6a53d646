"""Files as people have them, read as uploads are."""

from pathlib import Path

import pytest

from service.datasets.csv_file import read_csv
from service.datasets.file_options import FileOptions
from service.datasets.table import Table
from service.datasets.upload_limits import UploadLimits
from service.errors import Flaw, InvalidRequest

LIMITS = UploadLimits(max_points=1000, max_series=100)


def read(
    folder: Path, content: str | bytes, options: FileOptions | None = None, limits: UploadLimits = LIMITS
) -> Table:
    file = folder / "upload"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv(file, limits, options)


def flaw_of(
    folder: Path, content: str | bytes, options: FileOptions | None = None, limits: UploadLimits = LIMITS
) -> Flaw:
    with pytest.raises(InvalidRequest) as caught:
        read(folder, content, options, limits)
    [flaw] = caught.value.flaws
    return flaw


def codes(table: Table) -> list[str]:
    return [finding.code for finding in table.findings]


def days_of(table: Table) -> list[str]:
    assert table.times is not None
    return [str(stamp)[:10] for stamp in table.times.wall]
