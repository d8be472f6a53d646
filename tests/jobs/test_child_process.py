"""How a process that did a job's work came to its end."""

import signal
import time
from pathlib import Path

from service.jobs.child_process import MemoryKills


def test_a_kill_is_for_memory_if_the_kernel_counted_one_just_now(tmp_path: Path) -> None:
    counters = tmp_path / "vmstat"
    counters.write_text("pgfault 12\noom_kill 3\ndrop_pagecache 0\n")
    kills = MemoryKills(counters, lately_seconds=0.05)
    assert not kills.explains(-signal.SIGKILL)
    counters.write_text("pgfault 12\noom_kill 4\ndrop_pagecache 0\n")
    assert kills.explains(-signal.SIGKILL)
    assert not kills.explains(-signal.SIGSEGV)
    assert not kills.explains(1)
    # One look may come between the kill and the end; two, that far apart, can't.
    time.sleep(0.06)
    kills.look()
    assert kills.explains(-signal.SIGKILL)
    time.sleep(0.06)
    kills.look()
    assert not kills.explains(-signal.SIGKILL)


def test_a_system_that_counts_no_kills_explains_none(tmp_path: Path) -> None:
    kills = MemoryKills(tmp_path / "nothing")
    (tmp_path / "nothing").write_text("pgfault 12\n")
    assert not kills.explains(-signal.SIGKILL)
