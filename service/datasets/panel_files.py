"""The files of one upload: a panel's numbers, and its facts."""

import io
import os
import zipfile
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from service.datasets.dataset import Dataset, Finding
from service.datasets.quota import Quota
from service.domain.panel import Panel
from service.storage.private_files import append, create
from service.storage.regular_files import open_regular, read_regular

FACTS = "facts.json"
VALUES = "values.npz"
# Findings are a thousand at most, and ids as long as a request may be.
MOST_FACTS_BYTES = 2**28
NUMBER_BYTES = 8
# Of the archive around numbers.
FRAME_BYTES = 2048
# Raised by a file that is not what was written.
DAMAGES = (KeyError, IndexError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


# What of the numbers is read at once where only some of them are kept.
BLOCK_POINTS = 2**17


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A panel without its values: the fields are as of `Panel`, `lengths` are the points of each series."""

    ids: tuple[str, ...]
    lengths: tuple[int, ...]
    starts: tuple[str | None, ...]
    freq: str | None
    has_starts: bool


def write_panel(
    folder: Path, panel: Panel, audit: Iterable[Finding], quota: Quota | None = None, beside: int = 0
) -> None:
    """Writes a panel and its facts, durably, into a folder of `DatasetStore.scratch`.

    Args:
        quota: where space is reserved before anything is written.
        beside: the bytes of what lies in the folder already.

    Raises:
        UploadsFull, OSError.
    """
    names = orjson.dumps({"ids": panel.ids, "starts": panel.starts, "freq": panel.freq})
    created_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    facts = Dataset("", created_at, panel.n_series, panel.n_points, panel.freq, tuple(audit))
    told = orjson.dumps(facts.to_dict())
    if quota is not None:
        n_bytes = NUMBER_BYTES * (panel.n_points + panel.n_series) + len(names) + len(told)
        quota.reserve(folder, beside + n_bytes + FRAME_BYTES)
    with io.BufferedWriter(create(folder / VALUES)) as file:
        np.savez(
            file,
            flat=np.concatenate([np.asarray(values, np.float64) for values in panel.values]),
            lengths=np.array([len(values) for values in panel.values], np.int64),
            text=np.frombuffer(names, np.uint8),
        )
        _flush(file)
    _write(folder / FACTS, told)


def write_facts(folder: Path, dataset: Dataset) -> None:
    """Writes facts anew, durably."""
    _write(folder / FACTS, orjson.dumps(dataset.to_dict()))


def load_panel(folder: Path) -> Panel:
    """The panel that `write_panel` wrote. Raises OSError, and one of `DAMAGES` where the file is another."""
    with open_regular(folder / VALUES) as file, np.load(file, allow_pickle=False) as archive:
        flat, lengths, text = archive["flat"], archive["lengths"], archive["text"]
    names = orjson.loads(text.tobytes())
    values = tuple(np.split(flat, np.cumsum(lengths)[:-1]))
    return Panel(tuple(names["ids"]), values, tuple(names["starts"]), names["freq"])


def load_outline(folder: Path) -> Outline:
    """What `write_panel` wrote, without the numbers. Raises as `load_panel`."""
    with open_regular(folder / VALUES) as file, np.load(file, allow_pickle=False) as archive:
        lengths, text = archive["lengths"], archive["text"]
    names = orjson.loads(text.tobytes())
    has_starts = any(start is not None for start in names["starts"])
    return Outline(tuple(names["ids"]), tuple(lengths.tolist()), tuple(names["starts"]), names["freq"], has_starts)


def load_series(folder: Path, outline: Outline, places: Collection[int]) -> list[NDArray[np.float64]]:
    """The values [time] of some series of a panel, without the memory that the others would take.

    Args:
        places: which ones, ascending.

    Raises:
        OSError, and one of `DAMAGES`: as `load_panel`. Numbers that are left out are read, for the archive's checksum.
    """
    ends = np.cumsum(outline.lengths)
    bounds = [(int(ends[place]) - outline.lengths[place], int(ends[place])) for place in places]
    kept = [np.empty(stop - start) for start, stop in bounds]
    with open_regular(folder / VALUES) as file, zipfile.ZipFile(file) as archive, archive.open("flat.npy") as flat:
        version = np.lib.format.read_magic(flat)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read_header(flat)
        if shape != (int(ends[-1]),) or kind != np.float64:
            raise ValueError("the numbers are not those of the outline")
        first, waiting = 0, list(zip(bounds, kept, strict=True))
        while content := flat.read(NUMBER_BYTES * BLOCK_POINTS):
            block = np.frombuffer(content, np.float64)
            stop = first + len(block)
            for (begin, end), values in waiting:
                if begin >= stop:
                    break
                start, until = max(begin, first), min(end, stop)
                values[start - begin : until - begin] = block[start - first : until - first]
            waiting = [(bound, values) for bound, values in waiting if bound[1] > stop]
            first = stop
    if waiting:
        raise EOFError("the numbers end early")
    return kept


def load_facts(folder: Path) -> Dataset:
    """The facts that `write_panel` wrote. Raises OSError, and one of `DAMAGES` where the file is another."""
    facts = orjson.loads(read_regular(folder / FACTS, MOST_FACTS_BYTES))
    return Dataset(**{**facts, "audit": tuple(Finding(**finding) for finding in facts["audit"])})


def _write(path: Path, content: bytes) -> None:
    with create(path) as file:
        append(file, content)
        _flush(file)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
