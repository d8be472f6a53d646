"""Checks a whole store against its manifests."""

from pathlib import Path
from typing import Any

from service.errors import VersionDamaged
from service.store.catalog import Catalog


def check_store(root: Path) -> tuple[int, list[dict[str, Any]]]:
    """How many versions there are, and what is wrong: `{"entry", "model", "version", "message"}` for each bad entry.

    `model` and `version` are None for an entry that is none.

    Raises:
        StoreUnreadable: the folder can't be listed.
    """
    catalog = Catalog(root)
    catalog.refresh()
    findings = [_find(damage.entry, damage.model, damage.version, damage.reason) for damage in catalog.damaged]
    named = {(damage.model, damage.version) for damage in catalog.damaged if damage.version is not None}
    manifests = [manifest for entry in catalog.models() for manifest in entry.versions]
    for manifest in manifests:
        named.add((manifest.name, manifest.version))
        try:
            catalog.verify(manifest)
        except VersionDamaged as error:
            place = f"{manifest.name}/{manifest.version}"
            findings.append(_find(place, manifest.name, manifest.version, error.message))
    return len(named), findings


def _find(entry: str, model: str | None, version: int | None, message: str) -> dict[str, Any]:
    return {"entry": entry, "model": model, "version": version, "message": message}
