"""The small JSON files of the store: how large they may be, and what they say."""

from pathlib import Path

import orjson

from service.storage.regular_files import read_regular
from service.store.layout import ALIASES, MOST_VERSION, is_alias

# The largest that was ever written had 200 kB: residuals, scores by step, trials.
MOST_MANIFEST_BYTES = 16 * 2**20
MOST_SMALL_BYTES = 2**20


def parse_object(content: bytes) -> dict[str, object]:
    """A JSON object. Raises ValueError with a clause that says why it is none."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg.lower()}, line {error.lineno}") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def read_aliases(folder: Path) -> dict[str, int]:
    """All aliases of a model's folder that name a number, of existing versions or not; none if damaged."""
    try:
        given = parse_object(read_regular(folder / ALIASES, MOST_SMALL_BYTES))
    except (OSError, ValueError):
        return {}
    return pick_aliases(given)


def pick_aliases(content: dict[str, object]) -> dict[str, int]:
    """The aliases that name a number, from `aliases.json`."""
    return {alias: number for alias, number in content.items() if is_alias(alias) and type(number) is int}


def read_counter(content: dict[str, object]) -> int | None:
    """The highest number ever given out, from `last_version.json`; None where it does not say."""
    number = content.get("last_version")
    return number if type(number) is int and 0 <= number <= MOST_VERSION else None
