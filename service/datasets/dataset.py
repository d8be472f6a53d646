"""Facts about an upload. Standard library only."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import NoneType
from typing import Any, Self

# What the record of an upload holds beside what clients see.
_UNSEEN = ("digest", "key_digest", "has_forecasts")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an audit found: a stable `code`, the `id` of the series (None for the whole file), a message."""

    code: str
    id: str | None
    message: str


# An audit tells no more.
MOST_FINDINGS = 1000


class BoundedFindings(list[Finding]):
    """The first findings of very many, and how many there were."""

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        super().__init__()
        self.n_found = 0
        self.extend(findings)

    def append(self, finding: Finding) -> None:
        self.n_found += 1
        if len(self) < MOST_FINDINGS:
            super().append(finding)

    def extend(self, findings: Iterable[Finding]) -> None:
        before = self.n_found
        for finding in findings:
            self.append(finding)
        if isinstance(findings, BoundedFindings):
            self.n_found = before + findings.n_found

    def __iadd__(self, findings: Iterable[Finding]) -> Self:  # type: ignore[override,misc] # a list takes any iterable too
        self.extend(findings)
        return self


@dataclass(frozen=True, slots=True)
class Dataset:
    """An upload's facts. `freq` is a pandas offset alias, None if unknown; times are ISO 8601 in UTC.

    `digest` is the SHA-256 of its panel, None of uploads to earlier releases; `key_digest` that of the Idempotency-Key
    with which it was replaced last; `has_forecasts` says that a file of forecasts lies beside the panel, which holds
    their values.
    """

    id: str
    created_at: str
    updated_at: str
    n_series: int
    n_points: int
    freq: str | None
    audit: tuple[Finding, ...]
    digest: str | None = None
    key_digest: str | None = None
    has_forecasts: bool = False

    @property
    def tag(self) -> str:
        """Another one after each change: for the header ETag."""
        record = json.dumps(self.to_record(), sort_keys=True).encode()
        return hashlib.sha256(record).hexdigest()[:32]

    def to_dict(self) -> dict[str, Any]:
        """What clients see."""
        return {name: value for name, value in asdict(self).items() if name not in _UNSEEN}

    def to_record(self) -> dict[str, Any]:
        """All of it, for `read_record`."""
        return asdict(self)


# What a record holds, by field; a later release may hold more.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "created_at": str,
    "updated_at": str,
    "n_series": int,
    "n_points": int,
    "freq": (str, NoneType),
    "audit": (list, tuple),
    "digest": (str, NoneType),
    "key_digest": (str, NoneType),
    "has_forecasts": bool,
}
_FINDING_TYPES: dict[str, type | tuple[type, ...]] = {"code": str, "id": (str, NoneType), "message": str}


def read_record(record: Mapping[str, Any]) -> Dataset:
    """The facts of a record. Raises KeyError and TypeError where it is none."""
    fields = _choose({"updated_at": record["created_at"], **record}, _TYPES)
    audit = tuple(Finding(**_choose(finding, _FINDING_TYPES)) for finding in record["audit"])
    return Dataset(**{**fields, "audit": audit})


def _choose(record: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """The fields that are known. Raises TypeError."""
    if not isinstance(record, Mapping):
        raise TypeError(f"expected a record, got {type(record).__name__}")
    chosen = {name: record[name] for name in types if name in record}
    for name, value in chosen.items():
        if not isinstance(value, types[name]) or (types[name] is int and isinstance(value, bool)):
            raise TypeError(f"{name}: got {type(value).__name__}")
    return chosen
