"""What the daemon says about itself: structured lines, standard library loggers included, never a secret."""

import logging
import sys
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from daemon.redact import redacted

LEVELS: Final = ("debug", "info", "warning", "error")
Level = Literal["debug", "info", "warning", "error"]


def configure(
    level: Level = "info", form: Literal["auto", "json", "console"] = "auto", stream: TextIO | None = None
) -> None:
    """Send structlog and the standard library's loggers to `stream` (default: standard error) in one format.

    `auto` is readable on a terminal and JSON lines elsewhere (under systemd, in a pipe). May be called again.
    """
    out = stream or sys.stderr
    readable = form == "console" or (form == "auto" and out.isatty())
    shared = _shared()
    renderer = structlog.dev.ConsoleRenderer(colors=out.isatty()) if readable else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact_event,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    set_level(level)


def set_level(level: Level) -> None:
    """Change the least severity that is written, at once and for every logger."""
    logging.getLogger().setLevel(level.upper())


def current_level() -> str:
    """Return the least severity that is written."""
    return logging.getLevelName(logging.getLogger().level).lower()


def _shared() -> list[Processor]:
    """Return what happens to every line, whoever logged it."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def redact_event(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Mask secrets in everything a line says; runs last, when exceptions have become text and only rendering is left.

    What is no plain value becomes its repr() here, so that no renderer can bring up a secret afterwards.
    """
    return {key: redacted(key, value) for key, value in event.items()}
