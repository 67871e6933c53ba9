"""Structured logs: one JSON object a line on stdout, with a plain sentence and a stable `action`."""

import logging
import sys

import structlog

from services.runtime import settings


def configure(process: settings.ProcessSettings, service: str) -> None:
    """Set up structlog for this process. Library loggers go through it at WARNING, so that none prints a payload."""
    level = logging.getLevelNamesMapping()[process.log_level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, process=process.process_name or service)
    logging.basicConfig(level=max(level, logging.WARNING), format="%(message)s", stream=sys.stdout, force=True)
