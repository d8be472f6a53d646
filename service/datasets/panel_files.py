"""The files of one upload: a panel's numbers, and its facts.

The numbers are an uncompressed NPZ archive of three members: `flat` (all values, one series behind the other),
`lengths`, and `text`, which is JSON in bytes: ids, starts, freq and the SHA-256 of all. `flat` begins at a multiple of
64 bytes, so that the file can be mapped into memory.
"""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from service.datasets.dataset import Dataset, read_record
from service.datasets.quota import Quota
from service.domain.moments import write_moment
from service.domain.panel import Panel, PanelDigest
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
DAMAGES = (
    *(KeyError, IndexError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error),
    # An archive that claims to be encrypted, or of a later version.
    RuntimeError,
)
# What of the numbers is read or written at once.
BLOCK_POINTS = 2**17
# Reading more again and again, for a few series each time, would take seconds.
LARGE_POINTS = 2**20

_ALIGNMENT = 64
_LOCAL_HEADER_BYTES = 30
# Of a ZIP file with sizes of 64 bits, and of the extra field that fills up.
_ZIP64_BYTES, _EXTRA_BYTES = 20, 4
# A field that no reader knows, by the number that Android's zipalign uses.
_PADDING_FIELD = 0xD935

Array = NDArray[np.float64]
# A file's device, inode, size, and when it was written to.
FileIdentity = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A panel without its values: the fields are as of `Panel`, `lengths` are the points of each series.

    `digest` is that of the panel, None of files of earlier releases.
    """

    ids: tuple[str, ...]
    lengths: tuple[int, ...]
    starts: tuple[str | None, ...]
    freq: str | None
    has_starts: bool
    digest: str | None = None

    @property
    def n_points(self) -> int:
        """Points on the grids, missing ones included."""
        return sum(self.lengths)


def write_panel(
    folder: Path, panel: Panel, audit: Iterable[Any], quota: Quota | None = None, beside: int = 0
) -> Dataset:
    """Writes a panel and its facts, durably, into a folder of `DatasetStore.scratch`. Returns the facts.

    Args:
        audit: findings.
        quota: where space is reserved before anything is written.
        beside: the bytes of what lies in the folder already.

    Raises:
        UploadsFull, OSError.
    """
    lengths = np.array([len(values) for values in panel.values], np.int64)
    if panel.flat is not None and len(panel.flat) == lengths.sum():
        blocks: Iterable[Array] = (panel.flat[i : i + BLOCK_POINTS] for i in range(0, len(panel.flat), BLOCK_POINTS))
    else:
        blocks = _gather(panel.values)
    return write_blocks(folder, blocks, lengths, panel.ids, panel.starts, panel.freq, audit, quota, beside)


def write_blocks(
    folder: Path,
    blocks: Iterable[Array],
    lengths: NDArray[np.int64],
    ids: Collection[str],
    starts: Collection[str | None],
    freq: str | None,
    audit: Iterable[Any],
    quota: Quota | None = None,
    beside: int = 0,
) -> Dataset:
    """As `write_panel`, of a panel that stands nowhere as a whole.

    Args:
        blocks: all values, one series behind the other, cut anywhere.
        lengths: [n_series].
    """
    n_points = int(lengths.sum())
    created_at = write_moment(datetime.now(UTC))
    facts = Dataset("", created_at, created_at, len(lengths), n_points, freq, tuple(audit))
    if quota is not None:
        names = orjson.dumps({"ids": ids, "starts": starts, "freq": freq})
        n_bytes = NUMBER_BYTES * (n_points + len(lengths)) + len(names) + len(orjson.dumps(facts.to_record()))
        quota.reserve(folder, beside + n_bytes + FRAME_BYTES)
    digest = PanelDigest(ids, starts, freq, lengths)
    with io.BufferedWriter(create(folder / VALUES)) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            with archive.open(_align("flat.npy"), "w", force_zip64=True) as flat:
                _write_header(flat, n_points)
                for block in blocks:
                    digest.update(block)
                    flat.write(np.ascontiguousarray(block, np.float64).data.cast("B"))
            facts = replace(facts, digest=digest.hexdigest())
            text = orjson.dumps({"ids": ids, "starts": starts, "freq": freq, "digest": facts.digest})
            for name, array in (("lengths.npy", lengths), ("text.npy", np.frombuffer(text, np.uint8))):
                with archive.open(name, "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        _flush(file)
    write_facts(folder, facts)
    return facts


def write_facts(folder: Path, dataset: Dataset) -> None:
    """Writes facts anew, durably."""
    _write(folder / FACTS, orjson.dumps(dataset.to_record()))


def load_panel(folder: Path, *, mapped: bool = False) -> Panel:
    """The panel that `write_panel` wrote.

    Args:
        mapped: leave the numbers in their file, which the system reads as they are asked for and whose pages it may
            take back: for panels that are larger than memory should be. They can't be written to.

    Raises:
        OSError, and one of `DAMAGES` where the file is another. All of it is compared with its checksums.
    """
    with open_regular(folder / VALUES) as file, np.load(file, allow_pickle=False) as archive:
        lengths, names = archive["lengths"], orjson.loads(archive["text"].tobytes())
        flat = _map(file, archive.zip) if mapped else archive["flat"]
    values = tuple(np.split(flat, np.cumsum(lengths)[:-1]))
    return Panel(tuple(names["ids"]), values, tuple(names["starts"]), names["freq"], flat)


def load_outline(folder: Path) -> Outline:
    """What `write_panel` wrote, without the numbers. Raises as `load_panel`."""
    with open_regular(folder / VALUES) as file, np.load(file, allow_pickle=False) as archive:
        return _read_outline(archive)


def load_series(
    folder: Path, outline: Outline, places: Collection[int], proven: set[FileIdentity] | None = None
) -> list[Array]:
    """The values [time] of some series of a panel, without the memory that the others would take.

    Args:
        places: which ones, ascending.
        proven: large files that were compared with their checksum before, and have not been written to since: of these
            only the series are read. Others are read to their end, and added.

    Raises:
        Replaced: the panel is another than that of the outline.
        OSError, and one of `DAMAGES`: as `load_panel`.
    """
    ends = np.cumsum(outline.lengths)
    bounds = [(int(ends[place]) - outline.lengths[place], int(ends[place])) for place in places]
    with open_regular(folder / VALUES) as file:
        status = os.fstat(file.fileno())
        identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        if proven is not None and identity in proven:
            return _seek_series(file, outline, bounds)
        kept = [np.empty(stop - start) for start, stop in bounds]
        first, waiting = 0, list(zip(bounds, kept, strict=True))
        for block in _read_blocks(file, outline):
            stop = first + len(block)
            for (begin, end), values in waiting:
                if begin >= stop:
                    break
                start, until = max(begin, first), min(end, stop)
                values[start - begin : until - begin] = block[start - first : until - first]
            waiting = [(bound, values) for bound, values in waiting if bound[1] > stop]
            first = stop
    if proven is not None and outline.n_points >= LARGE_POINTS:
        proven.add(identity)
    return kept


def load_blocks(folder: Path, outline: Outline) -> Iterator[Array]:
    """All values of a panel, one series behind the other, in blocks that are cut anywhere.

    Raises:
        Replaced: the panel is another than that of the outline.
        OSError, and one of `DAMAGES`: as `load_panel`; of damage not before the last block.
    """
    with open_regular(folder / VALUES) as file:
        yield from _read_blocks(file, outline)


def cut_blocks(blocks: Iterator[Array], lengths: Iterable[int]) -> Iterator[Array]:
    """Series of these lengths from blocks that are cut anywhere."""
    block: Array = np.zeros(0)
    for length in lengths:
        parts: list[Array] = []
        needed = length
        while needed > len(block):
            parts.append(block)
            needed -= len(block)
            block = next(blocks)
        parts.append(block[:needed])
        block = block[needed:]
        yield parts[0] if len(parts) == 1 else np.concatenate(parts)
    # To the end, where the checksum is compared.
    for _ in blocks:
        pass


def load_facts(folder: Path) -> Dataset:
    """The facts that `write_panel` wrote. Raises OSError, and one of `DAMAGES` where the file is another."""
    return read_record(orjson.loads(read_regular(folder / FACTS, MOST_FACTS_BYTES)))


class Replaced(Exception):
    """The panel in the file is not the one that was looked at before."""


def read_raw(path: Path) -> Iterator[Array]:
    """The numbers of a file that holds nothing else, in blocks."""
    with path.open("rb") as file:
        while len(block := np.fromfile(file, np.float64, BLOCK_POINTS)):
            yield block


def _read_blocks(file: BinaryIO, outline: Outline) -> Iterator[Array]:
    """As `load_blocks`, of a file that is open."""
    with zipfile.ZipFile(file) as archive:
        _check_digest(archive, outline)
        with archive.open("flat.npy") as flat:
            if _read_header(flat) != outline.n_points:
                raise ValueError("the numbers are not those of the outline")
            n_read = 0
            while content := flat.read(NUMBER_BYTES * BLOCK_POINTS):
                block = np.frombuffer(content, np.float64)
                n_read += len(block)
                yield block
    if n_read != outline.n_points:
        raise EOFError("the numbers end early")


def _seek_series(file: BinaryIO, outline: Outline, bounds: Collection[tuple[int, int]]) -> list[Array]:
    with zipfile.ZipFile(file) as archive:
        _check_digest(archive, outline)
        with archive.open("flat.npy") as flat:
            n_points = _read_header(flat)
        begin = _find_numbers(file, archive, n_points)
    kept = []
    for start, stop in bounds:
        file.seek(begin + NUMBER_BYTES * start)
        kept.append(np.frombuffer(file.read(NUMBER_BYTES * (stop - start)), np.float64))
    return kept


def _check_digest(archive: zipfile.ZipFile, outline: Outline) -> None:
    with archive.open("text.npy") as member:
        text = np.lib.format.read_array(member, allow_pickle=False)
    if orjson.loads(text.tobytes()).get("digest") != outline.digest:
        raise Replaced


def _find_numbers(file: BinaryIO, archive: zipfile.ZipFile, n_points: int) -> int:
    """Where in the file the numbers begin. Raises ValueError where there are more or fewer."""
    with archive.open("flat.npy") as flat:
        if _read_header(flat) != n_points:
            raise ValueError("there are more or fewer numbers than the file says")
        header_bytes = flat.tell()
    entry = archive.getinfo("flat.npy")
    file.seek(entry.header_offset)
    names, extra = struct.unpack("<26xHH", file.read(_LOCAL_HEADER_BYTES))
    begin: int = entry.header_offset + _LOCAL_HEADER_BYTES + names + extra + header_bytes
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError("the numbers are compressed")
    return begin


def _read_outline(archive: Any) -> Outline:
    lengths, names = archive["lengths"], orjson.loads(archive["text"].tobytes())
    has_starts = any(start is not None for start in names["starts"])
    return Outline(
        tuple(names["ids"]),
        tuple(lengths.tolist()),
        tuple(names["starts"]),
        names["freq"],
        has_starts,
        names.get("digest"),
    )


def _map(file: BinaryIO, archive: zipfile.ZipFile) -> Array:
    """The numbers of an archive, mapped; those of earlier releases, which are few and not aligned, in memory."""
    with archive.open("flat.npy") as flat:
        n_points = _read_header(flat)
        header_bytes = flat.tell()
        # To its end, where the checksum is compared.
        while flat.read(NUMBER_BYTES * BLOCK_POINTS):
            pass
        if flat.tell() != header_bytes + NUMBER_BYTES * n_points:
            raise ValueError("there are more or fewer numbers than the file says")
    begin = _find_numbers(file, archive, n_points)
    if begin % NUMBER_BYTES or not n_points:
        with archive.open("flat.npy") as flat:
            return np.asarray(np.lib.format.read_array(flat, allow_pickle=False))
    # A plain array over the mapping: each slice of NumPy's own class of them would cost microseconds.
    return np.asarray(np.memmap(file, np.float64, "r", begin, (n_points,)))


def _read_header(flat: Any) -> int:
    """How many numbers follow. Raises ValueError where they are no numbers."""
    version = np.lib.format.read_magic(flat)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(flat)
    if len(shape) != 1 or kind != np.float64:
        raise ValueError("these are no numbers")
    return int(shape[0])


def _write_header(flat: Any, n_points: int) -> None:
    kind = np.lib.format.dtype_to_descr(np.dtype(np.float64))
    np.lib.format.write_array_header_1_0(flat, {"descr": kind, "fortran_order": False, "shape": (n_points,)})


def _align(name: str) -> zipfile.ZipInfo:
    """The first member of an archive, whose content begins at a multiple of the alignment."""
    member = zipfile.ZipInfo(name)
    taken = _LOCAL_HEADER_BYTES + len(name) + _ZIP64_BYTES + _EXTRA_BYTES
    padding = -taken % _ALIGNMENT
    member.extra = struct.pack("<HH", _PADDING_FIELD, padding) + bytes(padding)
    return member


def _gather(values: Collection[Array]) -> Iterator[Array]:
    """Many short series in fewer blocks."""
    waiting: list[Array] = []
    n_points = 0
    for series in values:
        waiting.append(np.asarray(series, np.float64))
        n_points += len(series)
        if n_points >= BLOCK_POINTS:
            yield np.concatenate(waiting)
            waiting, n_points = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _write(path: Path, content: bytes) -> None:
    with create(path) as file:
        append(file, content)
        _flush(file)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
