"""The one place where logs are configured."""

import logging
import sys
from typing import TextIO

from loguru import logger

from homeport.domain.errors import ConfigError

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
_FORMAT = "<dim>{time:YYYY-MM-DD HH:mm:ss.SSS}</dim> <level>{level: <8}</level> {message}"


class _StandardLogging(logging.Handler):
    """Hands records of libraries that use ``logging`` to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        level: str | int = record.levelname if record.levelname in LEVELS else record.levelno
        logger.opt(exception=record.exc_info).log(level, "{}", record.getMessage())


def configure_logging(level: str, *, stream: TextIO | None = None) -> None:
    """Write logs from a level on, homeport's and its libraries', to a stream.

    Args:
        level: One of ``LEVELS``, in any case.
        stream: None is standard error.

    Raises:
        ConfigError: There is no such level.
    """
    name = check_level(level)
    logger.remove()
    logger.add(stream or sys.stderr, level=name, format=_FORMAT, backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_StandardLogging()], level=logger.level(name).no, force=True)


def silence_logs() -> None:
    """Write no logs: the command itself tells what they would."""
    logger.remove()


def check_level(level: str) -> str:
    """Give the name of a level as loguru spells it.

    Raises:
        ConfigError: There is no such level.
    """
    name = level.upper()
    if name not in LEVELS:
        raise ConfigError(f"$.log.level: no level {level!r}; known: {', '.join(LEVELS)}")
    return name
