"""What a machine met at its last looks at the object store, in a file that all its processes read."""

import fcntl
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from service.storage.regular_files import read_regular
from service.store.damage_record import Damage
from service.store.layout import parse_version
from service.store.small_files import MOST_SMALL_BYTES

RECORD = ".look.json"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version in the object store that is not what was published, and when it is asked for again."""

    reason: str
    retry_at: float


@dataclass(frozen=True, slots=True)
class LookRecord:
    """Attributes:
    looked_at: when everything was last seen and brought here, in seconds since 1970; None where it never was.
    failing_since, error: of the looks since, all of which failed.
    n_failures: looks that failed, ever.
    damaged: versions, and states of models, that were refused, by their place.
    """

    looked_at: float | None = None
    failing_since: float | None = None
    error: str | None = None
    n_failures: int = 0
    damaged: dict[str, Refusal] = field(default_factory=dict)

    def succeeded(self, now: float) -> "LookRecord":
        return replace(self, looked_at=now, failing_since=None, error=None)

    def recovered(self) -> "LookRecord":
        """After some of it was seen again."""
        return replace(self, failing_since=None, error=None)

    def failed(self, error: str, now: float) -> "LookRecord":
        since = now if self.failing_since is None else self.failing_since
        return replace(self, failing_since=since, error=error, n_failures=self.n_failures + 1)

    def refused(self, entry: str, reason: str, retry_at: float) -> "LookRecord":
        return replace(self, damaged={**self.damaged, entry: Refusal(reason, retry_at)})

    def mended(self, entry: str) -> "LookRecord":
        return replace(self, damaged={key: value for key, value in self.damaged.items() if key != entry})

    def may_fetch(self, entry: str, now: float) -> bool:
        """Whether a version is to be asked for: not again and again where it is damaged."""
        refusal = self.damaged.get(entry)
        return refusal is None or now >= refusal.retry_at

    def damages(self, place: str) -> list[Damage]:
        """What is to be told of it."""
        found = []
        if self.failing_since is not None:
            since = datetime.fromtimestamp(self.failing_since, UTC).strftime("%H:%M:%S")
            found.append(
                Damage(place, f"can't be read since {since} UTC; what this machine has of it is served. {self.error}")
            )
        for entry, refusal in sorted(self.damaged.items()):
            folder, _, last = entry.rpartition("/")
            version = parse_version(last)
            name = last.removesuffix(".json") if version is None else folder
            reason = f"{refusal.reason} in the object store, so this machine doesn't take it"
            found.append(Damage(entry, reason, name, version))
        return found


def read_record(root: Path) -> LookRecord:
    """The record of a copy; an empty one where there is none yet, or none that can be read."""
    unwritten = _unwritten.get(root)
    if unwritten is not None:
        return unwritten
    try:
        values = orjson.loads(read_regular(root / RECORD, MOST_SMALL_BYTES))
        damaged = {entry: Refusal(**refusal) for entry, refusal in values.pop("damaged").items()}
        return LookRecord(**values, damaged=damaged)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return LookRecord()


def write_record(root: Path, change: Callable[[LookRecord], LookRecord]) -> None:
    """Changes the record. It need not outlive a crash of the machine; on a full disk this process alone knows it."""
    before = read_record(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root / f"{RECORD}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        _unwritten[root] = change(before)
        return
    scratch = root / f"{RECORD}.tmp"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        before = read_record(root)
        after = change(before)
        if after != before or root in _unwritten:
            scratch.write_bytes(orjson.dumps(asdict(after)))
            scratch.replace(root / RECORD)
            _unwritten.pop(root, None)
    except OSError:
        scratch.unlink(missing_ok=True)
        _unwritten[root] = change(before)
    finally:
        os.close(descriptor)


# What could not be written, by the folder of the copy.
_unwritten: dict[Path, LookRecord] = {}
