"""Write log lines: for people, or as one JSON object a line.

Processes write to their standard error; the supervisor prints what they write under their names.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_CONSOLE = "%(asctime)s %(levelname)s %(message)s"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
# At `info`, httpx logs each URL that it asks, and a webhook's URL is a secret (Slack's holds its
# key); alembic names each of its own parts before it migrates the history.
_QUIET = ("alembic", "httpx")
_format: LogFormat = "console"


class JsonLines(logging.Formatter):
    """One JSON object a record: time, level, message, and what the record was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an exception is in its member `exception`."""
        line: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(log_format: LogFormat, level: LogLevel) -> None:
    """Set how this process writes, once at its start; libraries stay at `info` or above."""
    global _format
    _format = log_format
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else logging.Formatter(_CONSOLE))
    least = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(least, logging.INFO), handlers=[handler], force=True)
    logging.getLogger("tollgate").setLevel(least)
    for library in _QUIET:
        logging.getLogger(library).setLevel(logging.WARNING)


def say(message: str) -> None:
    """Print a line of the supervisor's own to standard output."""
    if _format == "json":
        message = _supervised("supervisor", message)
    print(message, flush=True)


def relay(process: str, line: str) -> None:
    """Print a line that a process wrote, under its name, to standard error."""
    if _format == "console":
        line = f"{process} | {line}"
    elif line.startswith('{"time"'):
        line = f'{{"process": {json.dumps(process)}, {line[1:]}'
    else:
        line = _supervised(process, line)
    print(line, file=sys.stderr, flush=True)


def _supervised(process: str, message: str) -> str:
    level, _, rest = message.partition(": ")
    if level not in ("notice", "warning"):
        level, rest = "info", message
    line = {
        "process": process,
        "time": _time(datetime.now(UTC).timestamp()),
        "level": level,
        "message": rest,
    }
    return json.dumps(line, ensure_ascii=False)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
