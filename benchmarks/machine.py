"""Describes the machine that a table was measured on."""

import os
import platform
from pathlib import Path


def describe_machine() -> str:
    """Processor, cores in use and Python, on one line."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line] \
        if cpuinfo.exists() else []  # fmt: skip
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
