"""Process trees of this machine: who descends from whom, and signals to all of them."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# What a process is, by what its command line holds; the first that fits.
ROLES = (
    ("job process", "--performs"),
    ("export", "service.training.export"),
    ("reader", "service.datasets"),
    ("worker", "--slot"),
    ("worker supervisor", "worker"),
    ("API", "serve"),
    ("supervisor", "up"),
)


def find_tree(root: int) -> list[int]:
    """A process and all that descend from it, parents first; those that have ended are left out."""
    living = set[int]()
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                # Behind the name, which may hold anything, stand the state and the parent.
                state, parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:2]
                if state != "Z":
                    living.add(int(folder.name))
                    children.setdefault(int(parent), []).append(int(folder.name))
    tree = [root] if root in living else []
    for process in tree:
        tree += children.get(process, ())
    return tree


def name_role(process: int) -> str:
    """What a process of the service does; the empty text for others and for those that have ended."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return ""
    return next((role for role, word in ROLES if any(w == word or w.startswith(f"{word}.") for w in words)), "")


def send(processes: Iterable[int], number: signal.Signals) -> None:
    """Sends a signal to processes; those that have ended are left out."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)
