"""The level of ndabench's own logger, for a while."""

import contextlib
import logging
from collections.abc import Iterator


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
