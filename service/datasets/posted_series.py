"""Turns series posted as JSON into a data set."""

from typing import Any

from service.datasets.audit import audit
from service.datasets.dataset import Dataset
from service.datasets.store import DatasetStore
from service.datasets.upload_limits import UploadLimits
from service.domain.calendar import check_starts
from service.domain.panel import Panel
from service.domain.series import read_numbers, split


def keep_posted(
    store: DatasetStore,
    limits: UploadLimits,
    posted: Any,
    freq: str | None,
    start: str | None,
    *,
    key: str | None = None,
) -> Dataset:
    """Keeps series in any of the forms of `service.domain.series`. Blocks.

    Args: `key` is as of `DatasetStore.adopt`.

    Raises:
        IdempotencyKeyReused.
        InvalidRequest: an unknown form, a value that isn't a number, a wrong freq or start, or over the limits.
    """
    panel = read_posted(limits, posted, freq, start)
    return store.add(panel, audit(panel), key=key)


def read_posted(limits: UploadLimits, posted: Any, freq: str | None, start: str | None) -> Panel:
    """Series in any of the forms of `service.domain.series` as a panel. Raises InvalidRequest as `keep_posted`."""
    series = split(posted)
    limits.check_series(len(series))
    limits.check_points(sum(len(posted_one.values) for posted_one in series))
    values = read_numbers(series)
    starts = tuple(start if posted_one.start is None else posted_one.start for posted_one in series)
    # Whoever gives times finds out now, not with the first forecast, that they are none.
    check_starts(series, freq, start)
    return Panel(tuple(posted_one.id for posted_one in series), tuple(values), starts, freq)
