"""The calls on jobs, once, as programs."""

from datetime import datetime
from typing import Any

from outfielder_client.connection import TEXT, Connection, leave_out_none, locate
from outfielder_client.effects import Items, Program, consume
from outfielder_client.errors import Conflict, JobFailed, UnusableInput
from outfielder_client.events import Event, watch
from outfielder_client.frames import Columns, LongFrame, as_frame
from outfielder_client.progress import Progress, follow
from outfielder_client.series import Series
from outfielder_client.uploads import make_key, upload_frame, warn_of_findings


class JobCalls:
    """Training jobs and what became of them."""

    connection: Connection

    def submit(self, body: dict[str, Any], *, timeout: float | None = None) -> Program[list[dict[str, Any]]]:
        """POST /train with a body as it is: the jobs that were submitted. Retries never submit them twice."""
        answer = yield from self.connection.call(
            "POST", "/train", body, headers={"Idempotency-Key": make_key()}, timeout=timeout
        )
        jobs: list[dict[str, Any]] = answer.get("jobs", [answer])
        return jobs

    def train(
        self,
        /,
        architecture: str,
        series: Any = None,
        *,
        dataset: str | None = None,
        name: str | None = None,
        freq: str | None = None,
        missing: str | None = None,
        id_col: str = Columns.id,
        time_col: str = Columns.time,
        target_col: str = Columns.target,
        timeout: float | None = None,
        **options: Any,
    ) -> Program[list[dict[str, Any]]]:
        """Submits a training.

        Args:
            architecture: a preset, `auto`; or `chapter` for a job for each of the chapter's models.
            series: as in `forecast`; a frame with times is uploaded. Without series the chapter's waves are learned.
            dataset: the id of an upload, in place of `series`.
            name: the model's; by default the architecture's.
            freq: of lists, a pandas offset alias.
            missing: how missing values are filled: `interpolate`, `ffill` or `error`.
            options: any other field of POST /train, such as horizon, epochs or max_seconds.

        Returns:
            The job's handle; `Job.wait` waits for the model. `train_all` gives a list of handles, for `chapter`.
        """
        body = leave_out_none(architecture=architecture, name=name, **options)
        if series is not None and dataset is not None:
            raise UnusableInput("Give either series or the id of a `dataset`, not both.")
        frame = None if series is None else as_frame(series)
        if frame is not None:
            long = LongFrame(frame, Columns(id_col, time_col, target_col))
            if long.counts_steps:
                series = {key: steps.values for key, steps in long.read_steps().items()}
            else:
                uploaded = yield from upload_frame(self.connection, long, timeout)
                warn_of_findings(uploaded)
                dataset = uploaded["id"]
        if dataset is not None:
            body["data"] = leave_out_none(kind="dataset", id=dataset, missing=missing)
        elif series is not None:
            read = Series.read(series).to_json()
            body["data"] = leave_out_none(kind="series", series=read, freq=freq, missing=missing)
        return (yield from self.submit(body, timeout=timeout))

    def job(self, job_id: str) -> Program[dict[str, Any]]:
        """A job's record, as GET /jobs/{id} gives it."""
        return self.connection.call("GET", locate("jobs", job_id))

    def jobs(
        self,
        *,
        status: str | None = None,
        model: str | None = None,
        kind: str | None = None,
        submitted_after: datetime | str | None = None,
        submitted_before: datetime | str | None = None,
    ) -> Items[dict[str, Any]]:
        """The records of jobs, newest first, page after page.

        Args:
            status: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
            model: the name that they publish or measure.
            kind: `train`, `backtest` or `forecast`.
            submitted_after, submitted_before: moments, or ISO 8601 texts, in UTC where they have no zone; the first
                belongs to the range, the second does not.
        """
        chosen = {"status": status, "model": model, "kind": kind}
        times = {"submitted_after": submitted_after, "submitted_before": submitted_before}
        asked = {name: time.isoformat() if isinstance(time, datetime) else time for name, time in times.items()}
        return self.connection.pages("/jobs", "jobs", chosen | asked)

    def retry(self, job_id: str) -> Program[list[dict[str, Any]]]:
        """Submits the request of a job that has ended once more. Raises Conflict if it has not ended.

        Returns:
            The new job's handle.
        """
        path = locate("jobs", job_id, "retry")
        return [(yield from self.connection.call("POST", path, headers={"Idempotency-Key": make_key()}))]

    def log(self, job_id: str) -> Program[str]:
        """What workers logged about a job, a line for each event."""
        return self.connection.call("GET", locate("jobs", job_id, "log"), headers={"Accept": TEXT})

    def history(self, job_id: str) -> Items[dict[str, Any]]:
        """The epochs of a job with their losses, in the order in which they were fitted."""
        return self.connection.pages(locate("jobs", job_id, "history"), "history", {})

    def cancel(self, job_id: str) -> Program[dict[str, Any]]:
        """Cancels a job, and gives its record. Raises Conflict if it has ended before."""
        try:
            record: dict[str, Any] = yield from self.connection.call("POST", locate("jobs", job_id, "cancel"))
        except Conflict as error:
            record = yield from self.job(job_id)
            if not (error.may_have_been_done and record["status"] == "cancelled"):
                raise
        return record

    def watch(self, job_id: str, *, last_id: str | None = None) -> Items[Event]:
        """A job's events as they come, up to `done`, each once; where a connection breaks, another one goes on.

        Args: `last_id` is the id of an event, behind which the stream begins.
        """
        connection = self.connection
        return Items(watch(job_id, last_id, {}, connection.retry, connection.url))

    def wait(self, job_id: str, *, progress: Progress = None) -> Program[dict[str, Any]]:
        """Waits for a job's end, and gives its record.

        Args:
            progress: None shows a bar in notebooks and terminals, True everywhere, False nowhere; a function is
                called with each Event.

        Raises:
            JobFailed: it failed or was cancelled.
        """
        record = yield from self.job(job_id)
        ended: list[dict[str, Any]] = []
        with follow(record, progress) as show:

            def take(event: Event) -> None:
                show(event)
                if event.kind == "done":
                    ended.append(event.data)

            yield from consume(self.watch(job_id), take)
        if ended[-1]["status"] != "succeeded":
            raise JobFailed(ended[-1])
        return ended[-1]
