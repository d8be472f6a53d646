"""Where compiled programs outlive the process that compiled them."""

import hashlib
import platform
from pathlib import Path

import jax


def keep_programs(folder: Path) -> None:
    """Keeps compiled programs in a folder and takes from it what is there already.

    Programs are machine code for the processor's own instructions: each kind of processor has a folder of its own.
    """
    jax.config.update("jax_compilation_cache_dir", str(folder / _processor()))
    # Everything is worth keeping: the smallest program takes longer to compile than to read.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _processor() -> str:
    """A name for the processor's kind, from the instructions that it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        facts = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    except OSError:
        facts = [platform.processor()]
    return f"{platform.machine()}-{hashlib.sha256(chr(10).join(facts).encode()).hexdigest()[:12]}"
