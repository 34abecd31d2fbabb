"""Structured logs: what happened, never who or what was said."""

from __future__ import annotations

import logging
import sys
import traceback

import structlog

QUIET = ("nio", "peewee", "apscheduler", "alembic", "sqlalchemy", "aiohttp", "asyncio", "matplotlib")
"""Libraries that log addresses, tokens or statements: only their critical errors pass."""


def set_up(*, level: str = "info", format_: str = "text") -> None:
    """Send logs to standard error, as text for people or as JSON lines for machines."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if format_ == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _trace,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def ended(error: Exception) -> None:
    """Say where an exception came from that nobody caught."""
    if not structlog.is_configured():
        set_up()
    cause: BaseException = error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    structlog.get_logger().critical("the program has ended", error=type(cause).__name__, exc_info=cause)


def _trace(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Say where an exception came from, without its message: messages quote values, and values name people."""
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)
        event["trace"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event
