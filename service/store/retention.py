"""Keeps the last versions of a model, and all that somebody still names."""

import logging

from service.errors import AliasInUse, NotFound, NotReady
from service.store.catalog import Catalog

logger = logging.getLogger(__name__)


def keep_last(catalog: Catalog, name: str, n_versions: int, published: int | None = None) -> list[int]:
    """Removes a model's oldest versions until only so many are left, or only such as stay.

    A version stays if an alias names it, if it is the newest or the current one, or if it came with the package. What
    can't be removed now goes after a later training.

    Args:
        published: a version that was published a moment ago, which stays too.

    Returns:
        The numbers that were removed.
    """
    try:
        catalog.refresh()
        entry = catalog.model(name)
    except (NotFound, NotReady):
        return []
    named = {*entry.aliases.values(), entry.versions[-1].version, published}
    named |= set() if entry.current is None else {entry.current.version}
    stays = {manifest.version for manifest in entry.versions if manifest.version in named or manifest.job_id is None}
    removed = []
    for manifest in entry.versions[: max(0, len(entry.versions) - n_versions)]:
        if manifest.version in stays:
            continue
        try:
            catalog.delete_version(name, manifest.version)
        except (AliasInUse, NotFound):  # somebody was faster
            continue
        except NotReady as error:
            logger.warning("version %d of %r is kept for now: %s", manifest.version, name, error.message)
            break
        removed.append(manifest.version)
    if removed:
        logger.info("of %r, the last %d versions are kept: removed %s", name, n_versions, ", ".join(map(str, removed)))
    return removed
