"""Arrays of a job that may be larger than memory should be: beyond a size they are files that have no name."""

import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Smaller ones are faster in memory.
LEAST_BYTES = 2**26


def allocate(count: int, kind: Any) -> NDArray[Any]:
    """An array [count] of zeros; a large one is mapped from a file in the folder of temporary files.

    The file goes with the array, also where the process is killed.

    Raises:
        OSError: the disk is full.
    """
    n_bytes = count * np.dtype(kind).itemsize
    if n_bytes < LEAST_BYTES:
        return np.zeros(count, kind)
    with tempfile.TemporaryFile() as file:
        # What is not there would end the process when it is written to.
        os.posix_fallocate(file.fileno(), 0, n_bytes)
        return np.asarray(np.memmap(file, kind, "r+", 0, (count,)))
