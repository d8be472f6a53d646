"""API keys as they are set: a setting that holds none that a client could send ends the start, never the check.

The messages name a key by its place, for it is a secret and they go to logs.
"""

from pathlib import Path

from service.errors import KeysUnusable
from service.storage.regular_files import explain, read_regular

MOST_FILE_BYTES = 2**20
COMMENT = "#"


def read_keys(text: str) -> frozenset[str]:
    """The keys of OUTFIELDER_API_KEYS, separated by commas.

    Raises:
        ValueError: there is none, or one that no client could send.
    """
    entries = [(f"key {number}", entry.strip()) for number, entry in enumerate(text.split(","), 1)]
    keys = [(place, key) for place, key in entries if key]
    if not keys:
        raise ValueError("it is set but holds no key: expected one or more, separated by commas. Unset it for no check")
    for place, key in keys:
        if key.startswith(COMMENT):
            raise ValueError(
                f"{place} begins with '{COMMENT}', as comments do in a key file: leave it out, or choose another"
            )
        _check_key(place, key)
    return frozenset(key for _, key in keys)


def read_key_file(path: Path) -> frozenset[str]:
    """The keys of OUTFIELDER_API_KEYS_FILE, one a line; blank lines and comments are passed over.

    Raises:
        KeysUnusable: it can't be read, holds no key, or one that no client could send.
    """
    subject = f"OUTFIELDER_API_KEYS_FILE ({path})"
    try:
        # Editors of some systems begin a file with a mark, which would become part of the first key.
        text = read_regular(path, MOST_FILE_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise KeysUnusable(f"{subject} can't be used: {explain(error)}.") from error
    except UnicodeDecodeError as error:
        raise KeysUnusable(f"{subject} can't be used: it is not UTF-8.") from error
    lines = [(f"line {number}", line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    keys = [(place, key) for place, key in lines if key and not key.startswith(COMMENT)]
    if not keys:
        raise KeysUnusable(f"{subject} holds no key: expected one a line. Unset it for no check.")
    try:
        for place, key in keys:
            _check_key(place, key)
    except ValueError as error:
        raise KeysUnusable(f"{subject}: {error}.") from error
    return frozenset(key for _, key in keys)


def _check_key(place: str, key: str) -> None:
    if not key.isprintable():
        raise ValueError(
            f"{place} holds a character that no header can carry, such as a line break or a tab: choose another"
        )
