"""Cron expressions: when a schedule is due next, in a time zone of its own."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from service.domain.json_flaws import describe
from service.errors import InvalidRequest

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
FIELDS = 5


class Cron:
    """A cron expression of five fields (minute, hour, day of month, month, day of week) in a time zone.

    Where clocks are set forward, a time that doesn't exist falls on the first one that does; where they are set back,
    a time that comes twice counts once. Expressions that mean every hour or every so many minutes go by elapsed time.
    """

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        """Raises InvalidRequest: it is no cron expression, is never due, or the time zone is unknown."""
        fields = MACROS.get(expression.strip(), expression).split()
        if len(fields) != FIELDS:
            raise _invalid(expression, "")
        self._expression = " ".join(fields)
        self._zone = _find_zone(timezone)
        try:
            self.after(datetime.now(UTC))
        except CronSimError as error:
            raise _invalid(expression, f" {error}.") from error
        except StopIteration as error:
            raise InvalidRequest.at(
                "/cron", "bad_cron", f"{describe(expression)} is never due: no calendar has such a day."
            ) from error

    def after(self, moment: datetime) -> datetime:
        """The first time after a moment that it is due, in UTC. The moment has a time zone."""
        due: datetime = next(CronSim(self._expression, moment.astimezone(self._zone)))
        return due.astimezone(UTC)


def _find_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    # A name that leads out of the data base of zones is a ValueError, one that is a folder of it an OSError.
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRequest.at(
            "/timezone",
            "unknown_timezone",
            f"Expected a time zone of the IANA data base, such as 'Europe/Berlin' or 'UTC', got {describe(name)}.",
        ) from error


def _invalid(expression: str, reason: str) -> InvalidRequest:
    return InvalidRequest.at(
        "/cron",
        "bad_cron",
        "Expected a cron expression of five fields: minute, hour, day of month, month, day of week, such as "
        f"'0 3 * * 1' for Mondays at three; or one of {', '.join(MACROS)}; got {describe(expression)}.{reason}",
    )
