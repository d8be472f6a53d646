"""What a check of stored things finds, and what was done about it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.errors import NotReady

# What is younger may still be on its way: a job that publishes, an upload, a copy by hand.
SAFE_AGE_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        entry: its place.
        message: a clause or a sentence that says what is wrong with it.
        remedy: what a repair does about it, in the third person ("removes its remains"); None where a person has to.
        is_mended: whether that was done.
        model, version: what it belongs to, if it is a version.
    """

    entry: str
    message: str
    remedy: str | None = None
    is_mended: bool = False
    model: str | None = None
    version: int | None = None


class Repair:
    """Gathers findings, and mends what can be mended where that is wanted."""

    def __init__(self, *, mends: bool = False, older_than_seconds: float = SAFE_AGE_SECONDS) -> None:
        """Args: `older_than_seconds` is the age of what is taken for remains."""
        self.mends = mends
        self.findings: list[Finding] = []
        self._oldest = time.time() - older_than_seconds

    def is_old(self, modified_at: float) -> bool:
        """Whether something that was last written then is nobody's work in progress."""
        return modified_at <= self._oldest

    def note(
        self,
        entry: str,
        message: str,
        remedy: str | None = None,
        mend: Callable[[], object] | None = None,
        *,
        model: str | None = None,
        version: int | None = None,
    ) -> None:
        """Takes down a finding, and mends it; what that meets is taken down too."""
        is_mended = self.mends and mend is not None
        if is_mended and mend is not None:
            try:
                mend()
            except (OSError, NotReady) as error:
                why = error.message if isinstance(error, NotReady) else error.strerror or str(error)
                message, remedy, is_mended = f"{message.rstrip('.')}; it could not be mended: {why}", None, False
        self.findings.append(Finding(entry, message, remedy, is_mended, model, version))


def newest_change(path: Path) -> float:
    """When anything in a folder, or a file, was last written, in seconds since 1970."""
    newest = path.lstat().st_mtime
    if path.is_dir() and not path.is_symlink():
        for child in path.rglob("*"):
            try:
                newest = max(newest, child.lstat().st_mtime)
            except FileNotFoundError:
                continue
    return newest
