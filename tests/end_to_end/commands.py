"""Commands as a person types them: processes, which are forked from one that has imported what all of them need.

A process that a command is has its own arguments, environment and streams, but takes a tenth of the time to start.
"""

import atexit
import json
import os
import subprocess
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

STREAMS = ("stdin", "stdout", "stderr")
IMPORTED = ("outfielder_client", "service.cli.series_file", "pyarrow.csv")


@dataclass(frozen=True)
class Ran:
    """What a command gave."""

    returncode: int
    stdout: str
    stderr: str


class Commands:
    """Runs `outfielder ARGUMENTS`, one after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )

    def run(self, arguments: tuple[str, ...], environment: dict[str, str], given: bytes = b"") -> Ran:
        """Args: `environment` is all of it; `given` is the command's standard input."""
        control, answers = self._process.stdin, self._process.stdout
        assert control is not None
        assert answers is not None
        with TemporaryDirectory() as folder:
            files = {name: Path(folder, name) for name in STREAMS}
            files["stdin"].write_bytes(given)
            control.write(json.dumps([["outfielder", *arguments], environment, folder]) + "\n")
            control.flush()
            returncode = int(answers.readline())
            return Ran(returncode, files["stdout"].read_text(), files["stderr"].read_text())

    def close(self) -> None:
        self._process.communicate()


@cache
def commands() -> Commands:
    """The process that this one's commands are forked from."""
    made = Commands()
    atexit.register(made.close)
    return made


def main() -> None:
    """Forks a process for each line of standard input, and answers with how it ended."""
    with os.fdopen(os.dup(0)) as control:
        for module in IMPORTED:
            import_module(module)
        for line in control:
            arguments, environment, folder = json.loads(line)
            child = os.fork()
            if child == 0:
                become(arguments, environment, folder)
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)


def become(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Makes this process the command; it does not come back."""
    from service.cli import main as run

    for descriptor, name in enumerate(STREAMS):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(Path(folder, name), flags, 0o600), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    code = 0
    try:
        run()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself ends a process
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
