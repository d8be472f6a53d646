"""What a store that many machines share says of a model: one small object, replaced as a whole by compare-and-set."""

import uuid
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from service.store.layout import is_alias
from service.store.small_files import parse_object


@dataclass(frozen=True, slots=True)
class Claim:
    """A number that a publication has taken and not used yet: by whom, and when (seconds since 1970)."""

    token: str
    claimed_at: float


@dataclass(frozen=True, slots=True)
class Committed:
    """A version that readers see: whose it is (a job's id, or what else is published once), its manifest's SHA-256."""

    origin: str | None
    manifest: str


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model: its versions, the numbers that are spoken for, and its aliases.

    Attributes:
        last_version: the highest number ever given out.
        versions: what was published here. What was copied into the store by hand stands only in its list of objects.
        claims: numbers that are being published.
        deleted: numbers whose objects, where any are left, are nobody's.
        token: tells this state from any other, also from one that says the same.
    """

    last_version: int = 0
    versions: dict[int, Committed] = field(default_factory=dict)
    claims: dict[int, Claim] = field(default_factory=dict)
    deleted: tuple[int, ...] = ()
    aliases: dict[str, int] = field(default_factory=dict)
    token: str = ""

    def numbers(self, listed: Collection[int] = ()) -> list[int]:
        """The versions that readers see, ascending.

        Args:
            listed: those whose manifests lie in the store.
        """
        hidden = {*self.claims, *self.deleted}
        return sorted({*self.versions, *(number for number in listed if number not in hidden)})

    def find(self, origin: str | None) -> int | None:
        """The version of a job, if it has published one."""
        if origin is None:
            return None
        return next((number for number, version in self.versions.items() if version.origin == origin), None)

    def digest(self, number: int) -> str | None:
        """The SHA-256 of a version's manifest; None for one that was copied here by hand."""
        version = self.versions.get(number)
        return None if version is None else version.manifest

    def claim(self, token: str, now: float, listed: Collection[int] = ()) -> tuple["ModelState", int]:
        """With the next number taken by a publication, and that number: the one that it has, if it asks again."""
        known = next((number for number, claim in self.claims.items() if claim.token == token), None)
        if known is not None:
            return self, known
        number = max([self.last_version, *self.versions, *self.claims, *self.deleted, *listed, 0]) + 1
        claims = {**self.claims, number: Claim(token, now)}
        return replace(self, last_version=number, claims=claims), number

    def holds_claim(self, number: int, token: str) -> bool:
        claim = self.claims.get(number)
        return claim is not None and claim.token == token

    def commit(self, number: int, origin: str | None, manifest: str) -> "ModelState":
        """With a claimed number as a version."""
        return replace(
            self,
            versions={**self.versions, number: Committed(origin, manifest)},
            claims={key: claim for key, claim in self.claims.items() if key != number},
        )

    def remove(self, numbers: Collection[int]) -> "ModelState":
        """Without versions, or claims, for good."""
        return replace(
            self,
            versions={key: version for key, version in self.versions.items() if key not in numbers},
            claims={key: claim for key, claim in self.claims.items() if key not in numbers},
            deleted=tuple(sorted({*self.deleted, *numbers})),
        )

    def point(self, alias: str, number: int) -> "ModelState":
        """With an alias on a version."""
        return replace(self, aliases={**self.aliases, alias: number})

    def unpoint(self, alias: str) -> "ModelState":
        """Without an alias."""
        return replace(self, aliases={key: number for key, number in self.aliases.items() if key != alias})

    def naming(self, number: int) -> list[str]:
        """The aliases that name a version."""
        return sorted(alias for alias, target in self.aliases.items() if target == number)

    def renewed(self) -> "ModelState":
        """The same, as a state of its own."""
        return replace(self, token=uuid.uuid4().hex)

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)

    @classmethod
    def from_json(cls, content: bytes) -> "ModelState":
        """Reads a state. Raises ValueError, with a clause that says why it is none."""
        try:
            values: dict[str, Any] = parse_object(content)
            return cls(
                last_version=_number(values["last_version"]),
                versions={key: _committed(value) for key, value in _numbered(values["versions"])},
                claims={key: _claim(value) for key, value in _numbered(values["claims"])},
                deleted=tuple(_number(number) for number in values["deleted"]),
                aliases={alias: _number(number) for alias, number in values["aliases"].items() if is_alias(alias)},
                token=str(values["token"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("it is not what the service writes") from error


def _numbered(values: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    return ((_number(int(key)), value) for key, value in values.items())


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("it names something that is no version's number")
    return value


def _committed(value: dict[str, Any]) -> Committed:
    origin = value["origin"]
    return Committed(None if origin is None else str(origin), str(value["manifest"]))


def _claim(value: dict[str, Any]) -> Claim:
    return Claim(str(value["token"]), float(value["claimed_at"]))
