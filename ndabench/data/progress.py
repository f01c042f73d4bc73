"""Lines in the log that say how far a long pass over data or trials is."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0

_log = logging.getLogger(__name__)


def told(items: Iterable[Item], work: str, total: int, each: int = 1) -> Iterator[Item]:
    """The same items, each of which counts for `each` of `total`; a line every ten seconds on the way."""
    spoke = time.monotonic()
    for number, item in enumerate(items):
        if time.monotonic() - spoke > SECONDS_BETWEEN_LINES:
            spoke = time.monotonic()
            _log.info("%s: %s of %s", work, f"{number * each:,}", f"{total:,}")
        yield item
