"""Names this host's workers in the job database: each slot of each host by a name of its own."""

import contextlib
import os
import re
import socket
import uuid
from pathlib import Path

_FILE = "host-id"
_ID = re.compile(r"[0-9a-f]{12}")


def read_host_id(state_dir: Path) -> str:
    """The id that belongs to a state folder, made at its first use.

    A host's own name would not do: containers share names, and get others when they are made anew.
    """
    file = state_dir / _FILE
    with contextlib.suppress(FileNotFoundError):
        if _ID.fullmatch(known := file.read_text().strip()):
            return known
        # Torn by a full disk or a crash.
        file.unlink()
    draft = state_dir / f"{_FILE}.{uuid.uuid4().hex}"
    draft.write_text(f"{uuid.uuid4().hex[:12]}\n")
    try:
        # Fails where another worker has been faster, whose id then counts.
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
    return file.read_text().strip()


def name_executor(host_id: str, slot: int) -> str:
    """A worker's name in the database."""
    return f"{host_id}:{slot}"


def name_host() -> str:
    """What people call this host."""
    return socket.gethostname()
