"""Processes with as little memory as a container may have."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Where control groups of version 1 and 2 are, with the file of the limit.
CONTROL_GROUPS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


def make_control_group(n_bytes: int) -> Path:
    """A control group with so much memory, as a container has; skips where none can be made."""
    for top, limit in CONTROL_GROUPS:
        group = top / f"outfielder-test-{os.getpid()}"
        try:
            if (top / "cgroup.procs").exists():
                group.mkdir()
                (group / limit).write_text(str(n_bytes))
                return group
        except OSError:
            if group.is_dir():
                group.rmdir()
    pytest.skip("needs the right to make control groups with a limit of memory")


@contextmanager
def memory_limit(n_bytes: int, pid: int) -> Iterator[None]:
    group = make_control_group(n_bytes)
    try:
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            (group.parent / "cgroup.procs").write_text(left)
        group.rmdir()
