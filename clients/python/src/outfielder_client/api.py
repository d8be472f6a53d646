"""Every call of the API, once: programs that the blocking and the asynchronous client run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from outfielder_client.connection import Connection, leave_out_none, locate
from outfielder_client.dataset_calls import DatasetCalls
from outfielder_client.distributed import forecast_distributed, is_distributed
from outfielder_client.effects import InThread, Program
from outfielder_client.errors import ConnectionFailed, RequestRefused, UnusableInput
from outfielder_client.forecasts import ANOMALIES, FORECAST, anomalies_frame, ask_series, forecast_frame
from outfielder_client.frames import Columns, LongFrame, as_frame
from outfielder_client.job_calls import JobCalls
from outfielder_client.model_calls import ModelCalls
from outfielder_client.progress import Progress
from outfielder_client.schedule_calls import ScheduleCalls
from outfielder_client.series import Series, to_json_values
from outfielder_client.uploads import make_key, with_upload

# A load balancer's question; an answer that is late is as good as none.
READY_SECONDS = 5.0


class Api(JobCalls, DatasetCalls, ModelCalls, ScheduleCalls):
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
        body = leave_out_none(
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
        body = {**leave_out_none(**options), "dataset": dataset, "output": "dataset"}
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
        body = leave_out_none(
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
            leave_out_none(**data, **options),
            headers={"Idempotency-Key": make_key()},
            timeout=timeout,
        )
        return answer

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


def _as_list(given: Any) -> Any:
    """Levels as JSON: one of them is a list too. What is no list at all is for the server to judge."""
    if isinstance(given, int | float):
        return [given]
    return to_json_values(given) if hasattr(given, "__len__") else given
