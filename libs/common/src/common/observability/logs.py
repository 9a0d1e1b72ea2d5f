"""Logs on stderr: one JSON object per line for machines, or one readable line for people at a terminal."""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import IO, Any

import orjson

from common.observability.context import current

# What every LogRecord has; anything else on it came in through `extra` and belongs into the line.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
# Loggers that speak of each request or step of start-up: we log requests ourselves.
_TAMED = {
    "uvicorn": "WARNING",
    "uvicorn.access": "CRITICAL",
    "connexion": "WARNING",
    "asyncio": "WARNING",
    "pika": "CRITICAL",
    "httpx": "WARNING",
    "httpcore": "WARNING",
    "elastic_transport": "WARNING",
    "alembic": "WARNING",
    "pycountry": "WARNING",
}


class JsonFormatter(logging.Formatter):
    """One line: time (UTC, RFC 3339), level, logger, message, service, request_id, trace_id, then the record's extra fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        context = current()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "service": self._service,
        }
        if context.request_id:
            line["request_id"] = context.request_id
        if context.traceparent:
            line["trace_id"] = context.trace_id
        line |= _extra(record)
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        if record.stack_info:
            line["stack"] = record.stack_info
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except (TypeError, orjson.JSONEncodeError):  # a lone surrogate, say: a log line is never lost for its content
            return orjson.dumps({key: repr(value) for key, value in line.items()}).decode()


class LineFormatter(logging.Formatter):
    """One readable line: time, level, service, message, extra fields; a traceback follows on its own lines."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        fields = "".join(f" {key}={value}" for key, value in _extra(record).items())
        # What a client sent may be in it: one record stays one line, and the terminal is not steered.
        text = f"{record.getMessage()}{fields}".translate(_CONTROLS)
        line = f"{time} {record.levelname:<7} {self._service}: {text}"
        if record.exc_info:
            line += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return line


def wants_json(log_format: str) -> bool:
    """What LOG_FORMAT (`json`, `text` or `auto`) means here: `auto` is text at a terminal, JSON elsewhere."""
    return log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())


def configure_logging(service: str, level: str = "INFO", json: bool = True, stream: IO[str] | None = None) -> None:
    """Sends every logger of this process to stderr (or `stream`), in place of what was configured before.

    `level` is a name such as "INFO"; the process's entry point calls this once.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service) if json else LineFormatter(service))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name, tamed in _TAMED.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(logging.getLevelName(tamed), root.level))


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
