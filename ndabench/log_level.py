"""ndabench's own logger: its level for a while, and how its lines reach a terminal."""

import contextlib
import logging
from collections.abc import Iterator
from typing import TextIO

from ndabench.foreign_text import escaped, without_secrets


@contextlib.contextmanager
def logged(level: int, handler: logging.Handler | None = None) -> Iterator[None]:
    """While the block lasts, `ndabench` logs from `level` on, also to `handler`.

    >>> with logged(logging.WARNING):
    ...     logging.getLogger("ndabench").info("nobody hears this")
    """
    logger = logging.getLogger("ndabench")
    before = logger.level
    logger.setLevel(level)
    if handler is not None:
        logger.addHandler(handler)
    try:
        yield
    finally:
        if handler is not None:
            logger.removeHandler(handler)
        logger.setLevel(before)


def terminal_handler(stream: TextIO | None = None) -> logging.Handler:
    """Writes lines to `stream` (None: stderr) as a terminal may show them: names of files are in them."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Escaping())
    return handler


class _Escaping(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - a traceback keeps its lines
        return escaped(without_secrets(super().formatMessage(record)))
