"""What takes a data set's place: its facts, and for how long the panel that was there is kept."""

import hashlib
import time
from collections.abc import Collection
from dataclasses import replace

from service.datasets.dataset import Dataset
from service.datasets.dataset_ids import reused
from service.errors import PreconditionFailed

# In the staging folder, of what a replacement has taken out of its place.
ASIDE = "-aside"
# Beside a panel that was replaced: it is kept for jobs alone that had chosen it before.
RETIRED = "retired"
# A request that reads a panel submits its job within this time.
RETIRED_SECONDS = 3600.0


def succeed(
    dataset_id: str, old: Dataset | None, new: Dataset, key: str | None, tags: Collection[str] | None
) -> tuple[Dataset, bool]:
    """The facts of what takes a data set's place, and whether it did so before: `old`, by the same key.

    Args:
        old: None where it is damaged.

    Raises:
        IdempotencyKeyReused, PreconditionFailed: as `DatasetStore.replace`.
    """
    key_digest = None if key is None else hashlib.sha256(f"replace {key}".encode()).hexdigest()
    if old is not None:
        if key_digest is not None and key_digest == old.key_digest:
            if new.digest != old.digest:
                raise reused()
            return old, True
        if tags is not None and old.tag not in tags:
            raise PreconditionFailed(
                f'The data set {dataset_id!r} has changed since: its ETag is "{old.tag}". Read it again, then '
                "send If-Match with this one."
            )
    created_at = new.created_at if old is None else old.created_at
    return replace(new, id=dataset_id, created_at=created_at, key_digest=key_digest), False


def is_forgotten(used_at: float, oldest_job_at: float) -> bool:
    """Whether a retired panel is read by nobody any more; times are in seconds since 1970."""
    return min(time.time(), oldest_job_at) >= used_at + RETIRED_SECONDS
