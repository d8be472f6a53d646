"""Series and files as data sets of the service."""

import uuid
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from outfielder_client.connection import JSON, Connection, locate
from outfielder_client.effects import InThread, Program
from outfielder_client.errors import DataFinding, NotFound, OutfielderError, UnusableInput
from outfielder_client.frames import PARQUET, Columns, LongFrame, as_frame
from outfielder_client.series import Series, encode

CSV = "text/csv"
# Of these nothing was assumed and nothing changed, or the forecast itself says it.
UNREMARKABLE = {"not_sorted", "missing_values", "constant", "short", "all_null", "no_times"}
SHOWN_FINDINGS = 5
T = TypeVar("T")


class Replacement(NamedTuple):
    """The data set that an upload takes the place of, and the ETag that it must have; None for any."""

    dataset: str
    tag: str | None = None


def make_key() -> str:
    """A fresh Idempotency-Key: one a call, the same for all its attempts."""
    return uuid.uuid4().hex


def upload(
    connection: Connection,
    given: Any,
    columns: Mapping[str, str | None],
    options: Mapping[str, Any],
    media_type: str | None,
    timeout: float | None,
    replaced: Replacement | None = None,
) -> Program[dict[str, Any]]:
    """POST or PUT /datasets: a path, bytes, a frame, or series in any form.

    Raises:
        UnusableInput, RequestRefused, ConnectionFailed, OSError.
    """
    chosen = {name: column for name, column in columns.items() if column is not None}
    named = {f"{name}_column": column for name, column in chosen.items()}
    frame = None if isinstance(given, str | Path | bytes) else as_frame(given)
    if frame is not None:
        return (yield from upload_frame(connection, LongFrame(frame, Columns(**chosen)), timeout, replaced))
    if isinstance(given, str | Path):
        path = Path(given)
        given = yield InThread(path.read_bytes)
    if isinstance(given, bytes | bytearray | memoryview):
        content = bytes(given)
        kind = media_type or guess_media_type(content)
        parameters = {**named, **options}
    else:
        series = Series.read(given).to_json()
        if named:
            raise UnusableInput(f"{', '.join(named)}: columns are named of files and frames only.")
        content, kind, parameters = encode({"series": series, **options}), JSON, {}
    return (yield from _send(connection, content, kind, parameters, timeout, replaced))


def upload_frame(
    connection: Connection, frame: LongFrame, timeout: float | None, replaced: Replacement | None = None
) -> Program[dict[str, Any]]:
    """Uploads a frame, and gives what the service says of it."""
    content: bytes = yield InThread(frame.to_parquet)
    return (yield from _send(connection, content, PARQUET, frame.file_options(), timeout, replaced))


def warn_of_findings(dataset: Mapping[str, Any]) -> None:
    """Says in a warning what the service assumed or changed when it read a frame."""
    findings = [finding for finding in dataset["audit"] if finding["code"] not in UNREMARKABLE]
    if findings:
        said = "\n".join(describe_finding(finding) for finding in findings[:SHOWN_FINDINGS])
        rest = f"\nand {len(findings) - SHOWN_FINDINGS} more" if len(findings) > SHOWN_FINDINGS else ""
        warnings.warn(f"{said}{rest}", DataFinding, stacklevel=2)


def describe_finding(finding: Mapping[str, Any]) -> str:
    return f"{finding['id']}: {finding['message']}" if finding["id"] is not None else str(finding["message"])


def with_upload(
    connection: Connection,
    frame: LongFrame,
    timeout: float | None,
    ask: Callable[[dict[str, Any]], Program[T]],
) -> Program[T]:
    """What a program that reads a data set gives; the data set is there for it alone and removed behind it."""
    dataset = yield from upload_frame(connection, frame, timeout)
    try:
        result = yield from ask(dataset)
    except Exception:  # whatever `ask` met: nobody else knows of the data set, so it is removed first
        yield from _remove(connection, dataset["id"])
        raise
    yield from _remove(connection, dataset["id"])
    # Behind the removal: a warning may be an error.
    warn_of_findings(dataset)
    return result


def delete(connection: Connection, path: str) -> Program[None]:
    """DELETE, also where the answer to an earlier attempt was lost and nothing is there any more."""
    try:
        yield from connection.call("DELETE", path)
    except NotFound as error:
        if not error.may_have_been_done:
            raise


def guess_media_type(content: bytes) -> str:
    """Parquet by its magic number, JSON by its first character; anything else is CSV."""
    if content[:4] == b"PAR1":
        return PARQUET
    return JSON if content.lstrip()[:1] in (b"{", b"[") else CSV


def _send(
    connection: Connection,
    content: bytes,
    media_type: str,
    params: Mapping[str, Any],
    timeout: float | None,
    replaced: Replacement | None,
) -> Program[dict[str, Any]]:
    headers = {"Idempotency-Key": make_key()}
    method, path = "POST", "/datasets"
    if replaced is not None:
        method, path = "PUT", locate("datasets", replaced.dataset)
        if replaced.tag is not None:
            headers["If-Match"] = replaced.tag
    response = yield from connection.exchange(
        method, path, content, media_type, params=params, headers=headers, timeout=timeout
    )
    answer: dict[str, Any] = connection.read_json(path, response)
    return answer


def _remove(connection: Connection, dataset_id: str) -> Program[None]:
    """Removes what nobody else knows of; where that fails, the service does it when it expires."""
    try:
        yield from delete(connection, f"/datasets/{dataset_id}")
    except OutfielderError:
        return
