"""Facts about an upload. Standard library only."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an audit found: a stable `code`, the `id` of the series (None for the whole file), a message."""

    code: str
    id: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """An upload's facts. `freq` is a pandas offset alias, None if unknown; times are ISO 8601 in UTC."""

    id: str
    created_at: str
    n_series: int
    n_points: int
    freq: str | None
    audit: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
