"""A model in the store."""

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
        champion = self.aliases.get(CHAMPION)
        accepted = (m for m in reversed(self.versions) if m.gate is None or m.gate.get("passed"))
        current = next((m for m in self.versions if m.version == champion), None) or next(accepted, None)
        object.__setattr__(self, "current", current)
