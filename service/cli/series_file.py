"""Reads the file of a command like an upload, and prints findings to standard error."""

import json
import sys
from pathlib import Path
from typing import Any

from outfielder_client import Client
from service.datasets import local_file
from service.datasets.file_options import FileOptions, read_options
from service.datasets.local_file import FileRequest
from service.datasets.upload_limits import UploadLimits
from service.settings import Settings

# What a file for a forecast may say beside its series, and another command has no use for.
OF_FORECASTS = ("mode", "all_steps", "start", "quantiles", "non_negative", "explain", "fitted")


def choose_options(
    id_column: str | None,
    time_column: str | None,
    target_column: str | None,
    decimal: str | None,
    thousands: str | None,
    form: str | None,
) -> FileOptions:
    """What is said of a file, checked."""
    given = {"id_column": id_column, "time_column": time_column, "target_column": target_column}
    return read_options({**given, "decimal": decimal, "thousands": thousands, "format": form})


def read_content(file: Path) -> bytes:
    """The bytes of a file, or of standard input where it is `-`."""
    return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()


def name_file(file: Path) -> str:
    """What a file is called in messages."""
    return "standard input" if str(file) == "-" else str(file)


def read_request(file: Path, options: FileOptions, freq: str | None) -> FileRequest:
    """The request that a file is; what its reading found goes to standard error."""
    settings = Settings()
    limits = UploadLimits(settings.max_dataset_points, settings.max_dataset_series)
    request = local_file.read_request(read_content(file), limits, options, freq)
    for finding in request.findings:
        print(f"{finding.id or name_file(file)}: {finding.message}", file=sys.stderr)
    return request


def upload(client: Client, file: Path, options: FileOptions) -> dict[str, Any]:
    """Uploads a file, and returns what it is for a training request; what the audit found goes to standard error."""
    content = read_content(file)
    media_type = local_file.find_media_type(content)
    rest: dict[str, Any] = {}
    if media_type == local_file.JSON:
        fields = local_file.read_json(content)
        content = json.dumps(
            {name: fields.pop(name) for name in ("series", "freq", "start") if name in fields}
        ).encode()
        rest = leave_out(fields, (*OF_FORECASTS, "model", "version", "level"))
    arguments: dict[str, Any] = {name.replace("_column", "_col"): value for name, value in options.to_dict().items()}
    dataset = client.upload(content, media_type=media_type, **arguments)
    for finding in dataset["audit"]:
        print(f"{finding['id'] or name_file(file)}: {finding['message']}", file=sys.stderr)
    missing = {"missing": rest.pop("missing")} if "missing" in rest else {}
    return {**rest, "data": {"kind": "dataset", "id": dataset["id"], **missing}}


def leave_out(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The fields without some that a command has no use for, which standard error is told."""
    left_out = [name for name in names if name in fields]
    if left_out:
        print(f"outfielder: these fields of the file are not used here: {', '.join(left_out)}.", file=sys.stderr)
    return {name: value for name, value in fields.items() if name not in names}
