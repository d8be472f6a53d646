"""The calls on schedules, once, as programs."""

from collections.abc import Mapping
from typing import Any

from outfielder_client.connection import Connection, leave_out_none, locate
from outfielder_client.effects import Items, Program
from outfielder_client.uploads import delete, make_key


class ScheduleCalls:
    """Training that repeats."""

    connection: Connection

    def schedule(
        self,
        cron: str,
        train: Mapping[str, Any],
        *,
        source: Mapping[str, Any] | None = None,
        timezone: str | None = None,
        paused: bool | None = None,
    ) -> Program[dict[str, Any]]:
        """Makes a schedule.

        Args:
            cron: minute, hour, day of month, month, day of week, such as `0 3 * * 1`; or `@daily` and the like.
            train: the body of POST /train, whose data is an upload or the chapter's waves.
            source: a file in an object store to train on, in place of data: `{"url": "s3://bucket/key.parquet"}`.
            timezone: an IANA time zone; by default UTC.
            paused: whether it waits until it is resumed.
        """
        body = leave_out_none(cron=cron, train=dict(train), source=source, timezone=timezone, paused=paused)
        return self.connection.call("POST", "/schedules", body, headers={"Idempotency-Key": make_key()})

    def schedules(self) -> Items[dict[str, Any]]:
        """All schedules, newest first."""
        return self.connection.pages("/schedules", "schedules", {})

    def get_schedule(self, schedule_id: str) -> Program[dict[str, Any]]:
        """A schedule with its last runs."""
        return self.connection.call("GET", locate("schedules", schedule_id))

    def change_schedule(self, /, schedule_id: str, **changes: Any) -> Program[dict[str, Any]]:
        """Changes `cron`, `timezone`, `train` or `paused` of a schedule."""
        return self.connection.call("PATCH", locate("schedules", schedule_id), changes)

    def run_schedule(self, schedule_id: str) -> Program[dict[str, Any]]:
        """Submits a schedule's jobs now. Raises Conflict while those of its last run have not ended."""
        return self.connection.call(
            "POST", locate("schedules", schedule_id, "run"), headers={"Idempotency-Key": make_key()}
        )

    def delete_schedule(self, schedule_id: str) -> Program[None]:
        """Removes a schedule; jobs that it has submitted go on."""
        return delete(self.connection, locate("schedules", schedule_id))
