"""How a process logs: one handler on stderr, one line an event, as text or as JSON. Set once, by a composition root."""

import logging
import sys
from datetime import UTC, datetime
from json import dumps
from typing import Any

# Our own loggers: only these speak below WARNING, and only their `extra` fields are shown.
OURS = "service"

# Libraries that write to stderr in a form of their own where they find no handler on their logger.
WITH_OWN_HANDLERS = ("dbos",)

STANDARD_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}

# What would end a line, or steer a terminal: one event stays one line, whatever a client sent.
CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


class TextFormatter(logging.Formatter):
    """`time level logger: message key=value`, for people; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {key}={value}" for key, value in _extra(record).items())
        # Half a surrogate pair, which JSON can name, is no character that every stream can write.
        text = f"{record.getMessage()}{fields}".encode("utf-8", "backslashreplace").decode("utf-8")
        text = text.translate(CONTROL_CHARACTERS)
        lines = [f"{_timestamp(record)} {record.levelname:<7} {record.name}: {text}", _traceback(self, record)]
        return "\n".join(line for line in lines if line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, the event's own fields, `traceback` if any."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            **_extra(record),
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if traceback := _traceback(self, record):
            fields["traceback"] = traceback
        try:
            return dumps(fields, default=str, allow_nan=False)
        except (TypeError, ValueError):
            # A NaN, a cycle or a key that is no string, somewhere inside: shown as text rather than lost.
            return dumps({key: str(value) for key, value in fields.items()})


def configure(level: str = "INFO", json: bool = False) -> None:
    """Sends what the process logs to stderr, in place of any handlers that were there.

    Args:
        level: of the service's own events: DEBUG, INFO, WARNING, ERROR or CRITICAL, in any case. Libraries are heard
            from WARNING on, or from `level` where that is higher.
        json: one JSON object a line in place of text.

    Raises:
        ValueError: there is no such level.
    """
    levels = logging.getLevelNamesMapping()
    severity = levels.get(level.upper(), logging.NOTSET)
    if severity == logging.NOTSET:
        known = ", ".join(name for name, value in sorted(levels.items(), key=lambda item: item[1]) if value)
        raise ValueError(f"There is no log level {level!r}: expected one of {known}.")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if json else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(severity, logging.WARNING))
    logging.getLogger(OURS).setLevel(severity)
    for name in WITH_OWN_HANDLERS:
        library = logging.getLogger(name)
        library.handlers = [handler]
        library.propagate = False
    logging.captureWarnings(True)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller passed as `extra`; libraries hang all kinds of things on their records."""
    if record.name.partition(".")[0] != OURS:
        return {}
    return {key: value for key, value in record.__dict__.items() if key not in STANDARD_FIELDS}


def _timestamp(record: logging.LogRecord) -> str:
    """ISO 8601, UTC, milliseconds."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [
        formatter.formatException(record.exc_info) if record.exc_info else "",
        formatter.formatStack(record.stack_info) if record.stack_info else "",
    ]
    return "\n".join(part for part in parts if part)
