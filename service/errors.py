"""Every way in which the service refuses, as one tree of errors. Standard library only.

An error is raised low, where the facts are known, and carries them as attributes; `service.api.problems` turns it
into an HTTP answer once, by its class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

# No answer lists more; whoever looks for flaws may stop there.
MOST_FLAWS = 100


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with a request.

    `pointer` is a JSON pointer into the request, `code` a stable snake_case word, `message` says what was wrong, what
    was expected, what was received and how to mend it.
    """

    pointer: str
    code: str
    message: str


class ServiceError(Exception):
    """Base of all errors that a client may see. `code` is the stable word for the error's kind."""

    code: ClassVar[str] = "service_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(ServiceError):
    """The content of the request is wrong (422). `flaws` holds 1 to MOST_FLAWS entries."""

    code = "invalid_request"

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        count = f"{MOST_FLAWS} errors or more" if len(flaws) >= MOST_FLAWS else f"{len(flaws)} errors"
        super().__init__(flaws[0].message if len(flaws) == 1 else f"The request has {count}.")
        self.flaws = tuple(flaws[:MOST_FLAWS])

    @classmethod
    def at(cls, pointer: str, code: str, message: str) -> "InvalidRequest":
        return cls([Flaw(pointer, code, message)])


class MalformedJson(ServiceError):
    """The body is not JSON (400)."""

    code = "malformed_json"


class MalformedBody(ServiceError):
    """The body can't be read as its headers describe it, for example broken gzip (400)."""

    code = "malformed_body"


class BodyTooLarge(ServiceError):
    """The body, or what it decodes to, is over the limit (413)."""

    code = "body_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The request body is over the limit of {limit_bytes} bytes (counted after decompression). Send fewer "
            "series in one request, or raise OUTFIELDER_MAX_BODY_BYTES on the server."
        )
        self.limit_bytes = limit_bytes


class UploadTooLarge(BodyTooLarge):
    """An upload is over the limit for uploads (413)."""

    code = "upload_too_large"

    def __init__(self, limit_bytes: int) -> None:
        ServiceError.__init__(
            self,
            f"The upload is over the limit of {limit_bytes} bytes (counted after decompression). Send it in several "
            "parts, or raise OUTFIELDER_MAX_UPLOAD_BYTES on the server.",
        )
        self.limit_bytes = limit_bytes


class UnsupportedMediaType(ServiceError):
    """The body is of a type, or has an encoding, that the route does not read (415)."""

    code = "unsupported_media_type"


class Unauthorized(ServiceError):
    """No API key, or one that is not known (401)."""

    code = "unauthorized"


class HostRefused(ServiceError):
    """A server without keys was asked by a name that is not its own (403)."""

    code = "host_refused"


class OriginRefused(ServiceError):
    """A page of another origin sent the request (403)."""

    code = "cross_origin_refused"


class UpgradeRefused(ServiceError):
    """The request asks for another protocol (400)."""

    code = "upgrade_refused"


class BadHeader(ServiceError):
    """A header that is read before the request can't be read (400)."""

    code = "bad_header"


class NotFound(ServiceError):
    """What the request names does not exist (404)."""

    code = "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class VersionNotFound(NotFound):
    """No such version number, or no such alias."""

    code = "version_not_found"


class JobNotFound(NotFound):
    code = "job_not_found"


class ScheduleNotFound(NotFound):
    code = "schedule_not_found"


class SourceNotFound(NotFound):
    """A file in an object store is not there."""

    code = "source_not_found"


class DatasetNotFound(NotFound):
    code = "dataset_not_found"


class SeriesNotFound(NotFound):
    """The upload has no series of this id."""

    code = "series_not_found"


class ExampleNotFound(NotFound):
    code = "example_not_found"


class DatasetDamaged(DatasetNotFound):
    """The upload is there, but its files are not what was written."""

    code = "dataset_damaged"


class Conflict(ServiceError):
    """The request is right, but not in the state that things are in (409)."""

    code = "conflict"


class StillTraining(Conflict):
    """The model has no version yet, but a job that will publish one is queued or running. `job` is shown to clients."""

    code = "still_training"

    def __init__(self, message: str, job: dict[str, Any]) -> None:
        super().__init__(message)
        self.job = job


class NoChampion(Conflict):
    """The model has versions, but the gate rejected all of them."""

    code = "no_champion"


class EngineNotAvailable(Conflict):
    """The engine of the setting can't run the version."""

    code = "engine_not_available"


class AliasInUse(Conflict):
    code = "alias_in_use"


class DatasetInUse(Conflict):
    """A job that has not ended reads the data set."""

    code = "dataset_in_use"


class DatasetReplaced(Conflict):
    """The data set got other content while it was read."""

    code = "dataset_replaced"


class PreconditionFailed(ServiceError):
    """The resource is not as the header If-Match expects it (412)."""

    code = "precondition_failed"


class NoResult(Conflict):
    """The job has no result that could be downloaded: it has not ended, or ended without one."""

    code = "no_result"


class JobEnded(Conflict):
    code = "job_ended"


class TooManySchedules(Conflict):
    code = "too_many_schedules"


class LastRunActive(Conflict):
    """Jobs that a schedule submitted the time before have not ended."""

    code = "last_run_active"


class JobNotEnded(Conflict):
    """A job that waits or runs can't be submitted again."""

    code = "job_not_ended"


class IdempotencyKeyReused(Conflict):
    code = "idempotency_key_reused"


class QueueFull(ServiceError):
    """A bounded queue has no room (429). `retry_after_seconds` is a whole number of at least 1."""

    code = "queue_full"

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TooManyWatchers(QueueFull):
    """No further stream of events is served for now (429)."""

    code = "too_many_watchers"


class UploadsFull(ServiceError):
    """Uploads and kept series may take no more room (507)."""

    code = "uploads_full"


class TooMuchInFlight(QueueFull):
    """All requests together hold as much memory as they may (429)."""

    code = "too_much_in_flight"

    def __init__(self, limit_bytes: int, retry_after_seconds: int) -> None:
        super().__init__(
            f"All requests in progress may use {limit_bytes} bytes together, and this one would exceed that. Send it "
            "again later, in smaller parts, or raise OUTFIELDER_MAX_IN_FLIGHT_BYTES on the server.",
            retry_after_seconds,
        )
        self.limit_bytes = limit_bytes


class DeadlineExceeded(ServiceError):
    """The answer was not there in the time that the client gave it (504)."""

    code = "deadline_exceeded"


class NotReady(ServiceError):
    """The service is starting, draining, or can't read what it needs (503)."""

    code = "not_ready"

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StoreUnreadable(NotReady):
    code = "store_unreadable"


class StorageUnavailable(NotReady):
    """A disk refuses what is to be written or read: it is full, read-only, broken or not the service's."""

    code = "storage_unavailable"


class VersionDamaged(NotReady):
    """A version's files are not the ones that were published, or can't be read."""

    code = "version_damaged"


class DatabaseUnavailable(NotReady):
    """The job database can't be read or written (503). The message says why."""

    code = "database_unavailable"


class TrainingFailed(ServiceError):
    """A training job ended without a model. Shown as the job's `error`, never as an HTTP status."""

    code = "training_failed"


class TooMuchMemory(TrainingFailed):
    """A job took, or would take, more memory than a job may."""

    code = "too_much_memory"


class ExportMismatch(TrainingFailed):
    """The exported SavedModel did not give the trained model's numbers, so it was not published."""

    code = "export_mismatch"


class BacktestFailed(ServiceError):
    """A backtest ended without scores. Shown as the job's `error`, never as an HTTP status."""

    code = "backtest_failed"


class ForecastFailed(ServiceError):
    """A forecast of an upload ended without one. Shown as the job's `error`, never as an HTTP status."""

    code = "forecast_failed"


class SlotTaken(ServiceError):
    """A worker runs on this slot of the state folder already. Ends the second worker, never shown over HTTP."""

    code = "slot_taken"


class InsecureServer(ServiceError):
    """The API would listen on the network without a key. Ends the start, never shown over HTTP."""

    code = "insecure_server"


class KeysUnusable(InsecureServer):
    """API keys were set, but there is none among them that a client could send."""

    code = "keys_unusable"
