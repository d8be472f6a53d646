"""Where a command writes what it made: a file whose suffix says its format, or standard output."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import typer

STDOUT = Path("-")


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file, or `-`, and the format that it gets."""

    path: Path
    format: str

    def write(self, content: bytes) -> None:
        """Writes all of it or, where that fails, leaves what was there. Raises OSError."""
        if self.path == STDOUT:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
            return
        path = self.path.resolve()
        if (path.exists() and not path.is_file()) or not os.access(path.parent, os.W_OK):
            # A pipe, or /dev/stdout; or a file in a folder that takes no other.
            path.write_bytes(content)
            return
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(content)
            if path.exists():
                part.chmod(path.stat().st_mode)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def choose_output(
    output: Path | None,
    suffixes: dict[str, str],
    *,
    asked: str | None = None,
    for_stdout: str | None = None,
    source: Path | None = None,
) -> OutputFile | None:
    """What --output and the format beside it ask for, None where nothing is asked; checked before any work is done.

    Args:
        suffixes: the formats by suffix.
        asked: the format, where the suffix does not have to say it.
        for_stdout: the format of `-`; None where standard output is no place for any.
        source: the file that is read.

    Raises:
        BadParameter: an unknown suffix, one that contradicts `asked`, or a place where no file can be.
    """
    if asked is not None and asked not in suffixes.values():
        message = f"expected {_join(list(dict.fromkeys(suffixes.values())))}, got {asked!r}."
        raise typer.BadParameter(message, param_hint="--output-format")
    if output is None:
        return None if asked is None else OutputFile(STDOUT, asked)
    if output == STDOUT and for_stdout is not None:
        return OutputFile(STDOUT, asked or for_stdout)
    by_suffix = suffixes.get(output.suffix.lower())
    if by_suffix is None and asked is None:
        _check_place(output, source)
        rest = " Any other name needs --output-format." if for_stdout is not None else ""
        message = f"expected a name that ends in {_join(list(suffixes))}, got {str(output)!r}.{rest}"
        raise typer.BadParameter(message, param_hint="--output")
    if asked is not None and by_suffix not in (None, asked):
        message = f"{str(output)!r} says {by_suffix}, and --output-format says {asked}: leave one of them out."
        raise typer.BadParameter(message, param_hint="--output")
    _check_place(output, source)
    return OutputFile(output, asked or by_suffix or "")


def _check_place(output: Path, source: Path | None) -> None:
    folder = output.resolve().parent
    if output.is_dir():
        problem = "is a folder"
    elif not folder.is_dir():
        problem = f"can't be written: there is no folder {str(folder)!r}"
    elif not os.access(output if output.exists() else folder, os.W_OK):
        problem = "can't be written: access is denied"
    elif source is not None and source != STDOUT and output.exists() and output.samefile(source):
        problem = "is the file that is read: name another one"
    else:
        return
    raise typer.BadParameter(f"{str(output)!r} {problem}.", param_hint="--output")


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
