"""The README's commands, run as a reader would run them."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

README = Path(__file__).parents[2] / "README.md"
ADDRESS = "localhost:8000"
# What is another at every run.
VOLATILE = {"id", "created_at", "updated_at", "submitted_at", "started_at", "finished_at", "request_id", "timing_ms"}


@dataclass(frozen=True)
class Step:
    """A command of the README and the output that it shows."""

    command: str
    output: str


def read_steps(text: str) -> list[Step]:
    """The commands of all console blocks that show a prompt; a command goes on over lines without one."""
    steps = []
    for block in re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            end = next(i for i in range(1, len(lines) + 1) if is_complete("\n".join(lines[:i])))
            steps.append(Step("\n".join(lines[:end]), "\n".join(lines[end:])))
    return steps


def is_complete(command: str) -> bool:
    """Whether a shell would not ask for more: quotes are closed and the last line ends without a backslash."""
    return not command.endswith("\\") and command.count("'") % 2 == 0


class Shell:
    """Runs commands in one shell's memory: what one sets, the next can use."""

    def __init__(
        self, address: str, environment: dict[str, str], folder: Path | None = None, patience_seconds: float = 120
    ) -> None:
        self._address = address
        self._folder = folder
        self._patience_seconds = patience_seconds
        binary = Path(sys.executable).parent
        self._environment = {**os.environ, **environment, "PATH": f"{binary}:{os.environ['PATH']}"}
        self._memory: list[str] = []

    def run(self, command: str) -> str:
        command = command.replace(ADDRESS, self._address).replace(".venv/bin/", "")
        if re.match(r"[A-Z]+=\$\(", command):
            self._memory.append(command)
            return ""
        script = "\n".join([*self._memory, command])
        ran = subprocess.run(
            ["bash", "-c", script],
            env=self._environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=self._patience_seconds,
            check=False,
        )
        # A comment that keeps a silent event stream alive comes only where the machine is slow.
        return ran.stdout.replace(": keep-alive\n\n", "") + ran.stderr


def same(shown: str, printed: str, tolerance: float = 0.15) -> bool:
    """Whether an output is what the README shows, but for ids, times and the last digits of what was learned.

    Args:
        tolerance: how far numbers may be apart, as a share of the larger: another processor trains another model.
    """
    try:
        return _alike(json.loads(shown), json.loads(printed), tolerance)
    except json.JSONDecodeError:
        pass
    shown_words, printed_words = (re.findall(r"[^\s:,{}\"]+", text) for text in (shown, printed))
    return len(shown_words) == len(printed_words) and all(
        _alike_words(a, b, tolerance) for a, b in zip(shown_words, printed_words, strict=True)
    )


def _alike_words(a: str, b: str, tolerance: float) -> bool:
    try:
        return _alike(float(a.strip("[]")), float(b.strip("[]")), tolerance)
    except ValueError:
        return a == b or (len(a) >= 20 and len(a) == len(b))


def _alike(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(key in VOLATILE or _alike(a[key], b[key], tolerance) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_alike(one, other, tolerance) for one, other in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= tolerance * max(abs(a), abs(b), 1e-9)
    return bool(a == b)
