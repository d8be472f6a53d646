"""Every call of the API, once: programs that the blocking and the asynchronous client run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from outfielder_client.connection import TEXT, Connection, locate
from outfielder_client.distributed import forecast_distributed, is_distributed
from outfielder_client.effects import InThread, Items, Program, consume
from outfielder_client.errors import Conflict, ConnectionFailed, JobFailed, RequestRefused, UnusableInput
from outfielder_client.events import Event, watch
from outfielder_client.forecasts import ANOMALIES, FORECAST, anomalies_frame, ask_series, forecast_frame
from outfielder_client.frames import Columns, LongFrame, as_frame
from outfielder_client.progress import Progress, follow
from outfielder_client.schedules import ScheduleCalls
from outfielder_client.series import Series, to_json_values
from outfielder_client.uploads import (
    Replacement,
    delete,
    make_key,
    upload,
    upload_frame,
    warn_of_findings,
    with_upload,
)

# A load balancer's question; an answer that is late is as good as none.
READY_SECONDS = 5.0


class Api(ScheduleCalls):
    """The calls of one server. Each returns a program; `Client` and `AsyncClient` run it.

    All raise RequestRefused where the server answers with an error, ConnectionFailed where it does not answer at any
    attempt, and UnusableInput for what can't be sent. `timeout` is in seconds, for one attempt.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    # Forecasts

    def forecast(
        self,
        /,
        series: Any = None,
        *,
        dataset: str | None = None,
        model: str | None = None,
        version: int | str | None = None,
        horizon: int | None = None,
        level: Sequence[float] | float | None = None,
        quantiles: Sequence[float] | None = None,
        freq: str | None = None,
        start: str | None = None,
        mode: str | None = None,
        missing: str | None = None,
        season: int | None = None,
        non_negative: bool | None = None,
        fitted: bool | None = None,
        explain: bool | None = None,
        all_steps: bool | None = None,
        id_col: str = Columns.id,
        time_col: str = Columns.time,
        target_col: str = Columns.target,
        timeout: float | None = None,
        **options: Any,
    ) -> Program[Any]:
        """Forecasts series.

        Args:
            series: a data frame in long format; or one series (a list, an array, a column), many, a dict of them by
                id, or records `{"id", "values", "start"}`. Frames of Spark, Dask and Ray are forecast where they are.
            dataset: the id of an upload, in place of `series`.
            model: a stored model's name; by default the server's default model.
            version: a number or an alias.
            horizon: steps ahead; by default the model's own.
            level: prediction intervals, in percent.
            quantiles: quantiles, between 0 and 1.
            freq: a pandas offset alias. Of frames it is read from the times, and `freq` may only confirm it.
            start: the time of the first point, of lists.
            id_col, time_col, target_col: the columns of a frame. A frame without the first is one series; without the
                second, its rows are steps.

            options: any other field of POST /forecast.

        Other arguments are those of POST /forecast.

        Returns:
            For a frame a frame of the same library: `id_col`, `time_col`, a column named after the model, and
            `{model}-lo-80`, `{model}-hi-80`, `{model}-q-10` and the like. Else the answer of the API, a dict.

        Raises:
            FrequencyUnknown: the times of a frame follow no one frequency.
        """
        body = _leave_out_none(
            model=model,
            version=version,
            horizon=horizon,
            level=_as_list(level),
            quantiles=_as_list(quantiles),
            freq=freq,
            start=start,
            mode=mode,
            missing=missing,
            season=season,
            non_negative=non_negative,
            fitted=fitted,
            explain=explain,
            all_steps=all_steps,
            **options,
        )
        columns = Columns(id_col, time_col, target_col)
        if dataset is not None or series is None:
            return self._of_dataset("/forecast", body, series, dataset, timeout)
        if is_distributed(series):
            return forecast_distributed(self.connection, series, columns, body, timeout)
        frame = as_frame(series)
        if frame is not None:
            return forecast_frame(self.connection, frame, columns, body, timeout)
        return ask_series(self.connection, FORECAST, series, body, timeout)

    def forecast_dataset(
        self,
        /,
        dataset: str,
        path: str | Path,
        *,
        progress: Progress = None,
        timeout: float | None = None,
        **options: Any,
    ) -> Program[dict[str, Any]]:
        """Has a job forecast all series of an upload, and writes the forecasts to a Parquet file when it is done.

        Args:
            dataset: the id of the upload.
            path: of the file, with the columns of tables of POST /forecast: unique_id, ds or step, forecast, lo-80, ..
            progress: as of `wait`.
            options: the other fields of POST /forecast, such as model, horizon and level.

        Returns:
            The job's record. Its `result` has `dataset`, the id of the data set that the forecasts are kept as.

        Raises:
            JobFailed: it failed or was cancelled.
        """
        body = {**_leave_out_none(**options), "dataset": dataset, "output": "dataset"}
        headers = {"Idempotency-Key": make_key()}
        job = yield from self.connection.call("POST", "/forecast", body, headers=headers, timeout=timeout)
        record = yield from self.wait(job["id"], progress=progress)
        content = yield from self.connection.download(locate("jobs", job["id"], "result"))
        yield InThread(lambda: Path(path).write_bytes(content))
        return record

    def anomalies(
        self,
        series: Any = None,
        *,
        dataset: str | None = None,
        model: str | None = None,
        version: int | str | None = None,
        level: float | None = None,
        freq: str | None = None,
        start: str | None = None,
        missing: str | None = None,
        season: int | None = None,
        id_col: str = Columns.id,
        time_col: str = Columns.time,
        target_col: str = Columns.target,
        timeout: float | None = None,
    ) -> Program[Any]:
        """Finds the points of series that lie outside the interval of their one-step forecast.

        Args: as of `forecast`; `level` is one interval, in percent (by default 99).

        Returns:
            For a frame a frame of the same library: `id_col`, `time_col`, `target_col`, the model's one-step forecast
            with its bounds, and `anomaly`. Else the answer of the API, a dict.
        """
        body = _leave_out_none(
            model=model, version=version, level=level, freq=freq, start=start, missing=missing, season=season
        )
        if dataset is not None or series is None:
            return self._of_dataset("/anomalies", body, series, dataset, timeout)
        frame = as_frame(series)
        if frame is not None:
            return anomalies_frame(self.connection, frame, Columns(id_col, time_col, target_col), body, timeout)
        return ask_series(self.connection, ANOMALIES, series, body, timeout)

    def _of_dataset(
        self, path: str, body: dict[str, Any], series: Any, dataset: str | None, timeout: float | None
    ) -> Program[dict[str, Any]]:
        if dataset is None:
            raise UnusableInput("Give series, a frame, or the id of a `dataset`.")
        if series is not None:
            raise UnusableInput("Give either series or the id of a `dataset`, not both.")
        return self.connection.call("POST", path, {**body, "dataset": dataset}, timeout=timeout)

    def backtest(
        self,
        /,
        series: Any = None,
        *,
        dataset: str | None = None,
        id_col: str = Columns.id,
        time_col: str = Columns.time,
        target_col: str = Columns.target,
        timeout: float | None = None,
        **options: Any,
    ) -> Program[dict[str, Any]]:
        """Forecasts the last points of series from what was known before, and scores the model and the baselines.

        Args: `options` are the fields of POST /backtest: model, version, horizon, windows, step, season, level, freq,
            missing, forecasts. Otherwise as `forecast`.

        Returns:
            The scores, as the API gives them: `overall` and `series`. Where there are too many points for an answer
            at once, the job is waited for.

        Raises:
            JobFailed: the job ended without scores.
        """
        frame = None if series is None else as_frame(series)
        if frame is None:
            return self._score(series, dataset, options, timeout)
        long = LongFrame(frame, Columns(id_col, time_col, target_col))
        if long.counts_steps:
            by_id = {name: steps.values for name, steps in long.read_steps().items()}
            return self._score(by_id, None, options, timeout)
        return with_upload(
            self.connection, long, timeout, lambda upload: self._score(None, upload["id"], options, timeout)
        )

    def _score(
        self, series: Any, dataset: str | None, options: dict[str, Any], timeout: float | None
    ) -> Program[dict[str, Any]]:
        answer = yield from self.submit_backtest(series, dataset=dataset, timeout=timeout, **options)
        if "overall" in answer:
            return answer
        job = yield from self.wait(answer["id"], progress=False)
        result: dict[str, Any] = job["result"]
        return result

    def submit_backtest(
        self, /, series: Any = None, *, dataset: str | None = None, timeout: float | None = None, **options: Any
    ) -> Program[dict[str, Any]]:
        """POST /backtest of lists or an upload: the scores or, of many points, the job that will have them."""
        data = {"dataset": dataset} if series is None else {"series": Series.read(series).to_json()}
        if "level" in options:
            options["level"] = _as_list(options["level"])
        answer: dict[str, Any] = yield from self.connection.call(
            "POST",
            "/backtest",
            _leave_out_none(**data, **options),
            headers={"Idempotency-Key": make_key()},
            timeout=timeout,
        )
        return answer

    # Jobs

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
        body = _leave_out_none(architecture=architecture, name=name, **options)
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
            body["data"] = _leave_out_none(kind="dataset", id=dataset, missing=missing)
        elif series is not None:
            read = Series.read(series).to_json()
            body["data"] = _leave_out_none(kind="series", series=read, freq=freq, missing=missing)
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
            kind: `train` or `backtest`.
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

    # Data sets

    def upload(
        self,
        data: Any,
        *,
        freq: str | None = None,
        start: str | None = None,
        id_col: str | None = None,
        time_col: str | None = None,
        target_col: str | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
        format: str | None = None,
        media_type: str | None = None,
        timeout: float | None = None,
    ) -> Program[dict[str, Any]]:
        """Keeps series on the server for training, forecasts and backtests.

        Args:
            data: the path of a CSV, Parquet or JSON file, its bytes, a frame, or series in any form of `forecast`.
            freq, start: of lists.
            id_col, time_col, target_col: the columns; of files they are found where they are not named.
            decimal, thousands, format: how to read a file, where it can be read in several ways.
            media_type: of bytes; by default found by their beginning.

        Returns:
            `id`, `n_series`, `n_points`, `freq` and `audit`, what a person should know of the series.
        """
        options = _leave_out_none(freq=freq, start=start, decimal=decimal, thousands=thousands, format=format)
        columns = {"id": id_col, "time": time_col, "target": target_col}
        return upload(self.connection, data, columns, options, media_type, timeout)

    def replace_dataset(
        self,
        dataset_id: str,
        data: Any,
        *,
        if_match: str | None = None,
        freq: str | None = None,
        start: str | None = None,
        id_col: str | None = None,
        time_col: str | None = None,
        target_col: str | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
        format: str | None = None,
        media_type: str | None = None,
        timeout: float | None = None,
    ) -> Program[dict[str, Any]]:
        """Replaces the content of an upload under its id, at once; jobs that began with the old one keep it.

        Args:
            if_match: the ETag that the upload must still have, else RequestRefused.

        Other arguments, and what is returned, are those of `upload`.
        """
        options = _leave_out_none(freq=freq, start=start, decimal=decimal, thousands=thousands, format=format)
        columns = {"id": id_col, "time": time_col, "target": target_col}
        replaced = Replacement(dataset_id, if_match)
        return upload(self.connection, data, columns, options, media_type, timeout, replaced)

    def datasets(self) -> Items[dict[str, Any]]:
        """Uploads, newest first, page after page."""
        return self.connection.pages("/datasets", "datasets", {})

    def dataset(self, dataset_id: str) -> Program[dict[str, Any]]:
        """An upload and what its audit found."""
        return self.connection.call("GET", locate("datasets", dataset_id))

    def dataset_series(self, dataset_id: str) -> Items[dict[str, Any]]:
        """The series of an upload as they were read: id, values, freq, start, timestamps."""
        return self.connection.pages(locate("datasets", dataset_id, "series"), "series", {"limit": 100})

    def delete_dataset(self, dataset_id: str) -> Program[None]:
        """Removes an upload. Raises Conflict while a job reads it."""
        return delete(self.connection, locate("datasets", dataset_id))

    # Models

    def models(self) -> Items[dict[str, Any]]:
        """All models, by name."""
        return self.connection.pages("/models", "models", {})

    def model(self, name: str) -> Program[dict[str, Any]]:
        """One model: versions, aliases, horizon and the like."""
        return self.connection.call("GET", locate("models", name))

    def version(self, name: str, version: int | str) -> Program[dict[str, Any]]:
        """The manifest of a version, by number or alias."""
        return self.connection.call("GET", locate("models", name, "versions", version))

    def delete_version(self, name: str, version: int) -> Program[None]:
        """Removes a version. Raises Conflict while an alias names it."""
        return delete(self.connection, locate("models", name, "versions", version))

    def set_alias(self, name: str, alias: str, version: int) -> Program[dict[str, Any]]:
        """Lets an alias, such as `champion`, name a version."""
        return self.connection.call("PUT", locate("models", name, "aliases", alias), {"version": version})

    def set_default(self, name: str) -> Program[dict[str, Any]]:
        """Makes a model the one that answers requests without a model."""
        return self.connection.call("PUT", "/models/default", {"name": name})

    def leaderboard(self, *, metric: str | None = None, part: str | None = None) -> Program[list[dict[str, Any]]]:
        """Versions and baselines ranked by their stored scores, in groups of the same data and horizon."""
        answer = yield from self.connection.call("GET", "/leaderboard", params={"metric": metric, "part": part})
        groups: list[dict[str, Any]] = answer["leaderboard"]
        return groups

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Program[Any]:
        """Any other route as it is: sends JSON and gives the JSON of the answer, None for an empty one."""
        json = None if body is None else to_json_values(body)
        return self.connection.call(method, path, json, params=params or {}, timeout=timeout)

    # Operations

    def health(self) -> Program[dict[str, Any]]:
        """What GET /readyz says once. Raises Unavailable or ConnectionFailed where the server can't serve now."""
        return self._without_retries().call("GET", "/readyz", timeout=READY_SECONDS)

    def is_ready(self) -> Program[bool]:
        """Whether the server answers and can serve, now."""
        try:
            yield from self.health()
        except (ConnectionFailed, RequestRefused):
            return False
        return True

    def _without_retries(self) -> Connection:
        return replace(self.connection, retry=replace(self.connection.retry, attempts=1))


def _leave_out_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _as_list(given: Any) -> Any:
    """Levels as JSON: one of them is a list too. What is no list at all is for the server to judge."""
    if isinstance(given, int | float):
        return [given]
    return to_json_values(given) if hasattr(given, "__len__") else given
