"""Moments as clients see them."""

from datetime import UTC, datetime


def write_moment(moment: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond: `2026-01-31T23:59:59.000Z`. The moment has a time zone."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_milliseconds(milliseconds: int) -> str:
    """As `write_moment`, of milliseconds since 1970.

    Raises:
        ValueError, OverflowError, OSError: it lies beyond the years that can be written.
    """
    return write_moment(datetime.fromtimestamp(milliseconds / 1000, UTC))
