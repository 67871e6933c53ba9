"""Structured logs: one line an event on stdout, with a plain sentence and a stable `action` (docs/logs.md lists them).

A line is a JSON object; on a terminal the same in columns, coloured.
"""

import logging
import os
import sys
import traceback
from typing import Final

import structlog

from services.runtime import repeats, settings
from services.runtime.tracing import spans

# Errors about a value, which may quote it: a row's text, a key. Of these the log holds the kind and the place only.
ABOUT_VALUES: Final = (ValueError, TypeError, LookupError, ArithmeticError, AssertionError, AttributeError)


def frames(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Exceptions as their kinds, places and causes; words only of those that cannot quote a caller's data."""
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        line["exception"] = _told(error)
    return line


def traced(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Which trace the line belongs to, where that is recorded."""
    if held := spans.recorded():
        _, line["trace_id"], line["span_id"], _ = held.split("-")
    return line


def _told(error: BaseException) -> str:
    told: list[str] = []
    current: BaseException | None = error
    while current is not None and len(told) < 8:
        kind = f"{type(current).__module__}.{type(current).__qualname__}".removeprefix("builtins.")
        words = "" if isinstance(current, ABOUT_VALUES) else f": {current}"
        # Names and line numbers; not the line of code with its values.
        places = [f"  {at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(current.__traceback__)]
        told.append("\n".join([f"{kind}{words}", *places]))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\ncaused by ".join(told)


def configure(process: settings.ProcessSettings, service: str) -> None:
    """Set up structlog for this process. Library loggers go through it at WARNING, so that none prints a payload."""
    level = logging.getLevelNamesMapping()[process.log_level]
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        traced,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        frames,
    ]
    after = _columns() if _for_people(process) else _json()
    structlog.configure(
        processors=[*before, repeats.Repeats(), *after],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, process=process.process_name or service)
    lines = logging.StreamHandler(sys.stdout)
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *before],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *after],
        )
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[lines], force=True)


def _for_people(process: settings.ProcessSettings) -> bool:
    return process.log_format == "text" or (process.log_format == "auto" and sys.stdout.isatty())


def _json() -> list[structlog.typing.Processor]:
    return [structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer()]


def _columns() -> list[structlog.typing.Processor]:
    # https://no-color.org
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return [_printable, structlog.dev.ConsoleRenderer(colors=coloured, pad_event_to=0)]


def _printable(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What a server said must not steer a terminal."""
    return {
        name: "".join(each if each.isprintable() or each == "\n" else "?" for each in value)
        if isinstance(value, str)
        else value
        for name, value in line.items()
    }
