"""A model in the store."""

from collections.abc import Collection
from dataclasses import dataclass, field

from service.store.manifest import Manifest

CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model: its versions in ascending order and its aliases. There is at least one version."""

    name: str
    versions: tuple[Manifest, ...]
    aliases: dict[str, int]
    # What a request that names no version gets: the champion, else the newest that no gate rejected.
    current: Manifest | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "current", self.current_without(()))

    def current_without(self, unusable: Collection[int]) -> Manifest | None:
        """What `current` would be without versions that can't be served."""
        champion = self.aliases.get(CHAMPION)
        usable = [m for m in self.versions if m.version not in unusable]
        accepted = (m for m in reversed(usable) if m.gate is None or m.gate.get("passed"))
        return next((m for m in usable if m.version == champion), None) or next(accepted, None)
