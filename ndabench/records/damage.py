"""How damage to a file is noticed, and said.

A checksum lies inside the file itself, where its format has room for words that no reader minds: the records
stay plain Parquet, the checkpoints PyTorch's files, and both can be copied, moved and kept on any storage.
"""

import hashlib
import logging
from collections.abc import Callable
from functools import cache

_WORDS = b"sha256 of this file with zeros for these digits: "
_DIGITS = 64
PLACEHOLDER = (_WORDS + b"0" * _DIGITS).decode()
"""Must be in a file before it is `sealed`."""

Note = Callable[[str], None]
"""Takes the line about something damaged."""

_log = logging.getLogger(__name__)


class DamagedError(ValueError):
    """What is wrong with the content of a file."""


def sealed(content: bytes) -> bytes:
    """`content` with its checksum in place of the `PLACEHOLDER`."""
    place = content.rindex(PLACEHOLDER.encode()) + len(_WORDS)
    return content[:place] + _digest(content, place) + content[place + _DIGITS :]


def require_intact(content: bytes) -> bool:
    """Whether the content has a checksum; `DamagedError` where that is not its own.

    Older files have none. A damaged checksum may look like none: everything else is then as it was.
    """
    place = content.rfind(_WORDS)
    if place < 0:
        return False
    place += len(_WORDS)
    if content[place : place + _DIGITS] != _digest(content, place):
        raise DamagedError("it is not as it was written")
    return True


def _digest(content: bytes, place: int) -> bytes:
    """The checksum of `content`, of which the digits at `place` count as zeros."""
    parts = memoryview(content)
    digest = hashlib.sha256(parts[:place])
    digest.update(b"0" * len(parts[place : place + _DIGITS]))
    digest.update(parts[place + _DIGITS :])
    return digest.hexdigest().encode()


@cache
def warn_once(line: str) -> None:
    """Logs a line about damage, once in this process."""
    _log.warning("%s; passed over", line)
