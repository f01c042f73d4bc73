"""Storage that fails for a while and returns: which failures are waited for, how long, and what is said."""

import errno
import logging
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SECONDS = 300.0
"""How long storage is waited for. Less than the ten minutes after which other workers on GPUs give up."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0

_PASSING = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.EROFS,
        errno.ENODEV,
        errno.ENXIO,
        errno.EBUSY,
        errno.EAGAIN,
        errno.EINTR,
        errno.EMFILE,
        errno.ENFILE,
        errno.ETIMEDOUT,
        errno.EPIPE,
        errno.ENOTCONN,
        errno.ECONNRESET,
        errno.ECONNREFUSED,
        errno.ECONNABORTED,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENETRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
"""A disk or a network that may come back. A full disk or a missing permission waits for somebody's hand."""

_PASSING_WORDS = re.compile(
    r"NETWORK_CONNECTION|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|THROTTLING|SLOW_DOWN|REQUEST_TIMEOUT"  # S3
    r"|UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED"  # Google's store
    r"|ServerBusy|OperationTimedOut"  # Azure's
    r"|HTTP status (408|429|5\d\d)"
)
"""Object stores give no error numbers, only these words."""

_OBJECT_STORE_ERROR = re.compile(r"AWS Error (\w+)[^:]*?(?: during \w+ operation)?: (?:curlCode: \d+, )?(.*)")

_log = logging.getLogger(__name__)
_dice = random.SystemRandom()  # never the generator that a training may have seeded


class Patience:
    """Tries again, with growing pauses, what failed in a way that passes, and says so in the log.

    Once it was in vain it tries only once, until something succeeds: a store that is gone for good is waited
    for once, not for every file.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds, self._in_vain = SECONDS if seconds is None else seconds, False

    def __call__(self, action: Callable[[], T], failure: str) -> T:
        """What `action` returns; its last `OSError` where it did not succeed. `failure` stands in the log."""
        started, pause = time.monotonic(), 0.0
        seconds = 0.0 if self._in_vain else self._seconds
        while True:
            try:
                result = action()
            except OSError as error:
                left = started + seconds - time.monotonic()
                if not passes(error):
                    raise
                if left <= 0:
                    self._in_vain = True
                    raise
                pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE, left)
                plan = f"trying again in {pause:.2g} s, for {left:.0f} s"
                _log.warning("%s (%s); %s", failure, reason(error), plan)
                time.sleep(pause * _dice.uniform(0.8, 1.0))  # not all trials at the same moment
            else:
                if pause:
                    _log.warning("the storage is back after %.0f s", time.monotonic() - started)
                self._in_vain = False
                return result


def passes(error: OSError) -> bool:
    """Whether a failure of storage may be over in a while, without anybody's hand."""
    return error.errno in _PASSING if error.errno else _PASSING_WORDS.search(str(error)) is not None


def reason(error: OSError) -> str:
    """Why storage failed, for the end of a user's line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a file stands where a folder should be"
    if error.errno and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    line = " ".join(str(error).split())
    if found := _OBJECT_STORE_ERROR.search(line):
        return f"{found[1]}: {re.split('; Details| [(]Request ID', found[2])[0]}"
    return line
