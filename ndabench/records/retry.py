"""Retrying storage operations: which failures may pass, how long to wait for them, and what the log says."""

import errno
import logging
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SECONDS = 300.0
"""How long to wait for storage: less than the ten minutes after which the other workers on GPUs give up."""
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
"""A disk or a network that may come back. Not here: a full disk, a missing permission; they need a person."""

_PASSING_WORDS = re.compile(
    r"NETWORK_CONNECTION|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|THROTTLING|SLOW_DOWN|REQUEST_TIMEOUT"  # S3
    r"|UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED"  # Google's store
    r"|ServerBusy|OperationTimedOut"  # Azure's
    r"|HTTP status (408|429|5\d\d)"
)
"""Object stores give no error numbers; their messages contain these words."""

_OBJECT_STORE_ERROR = re.compile(r"AWS Error (\w+)[^:]*?(?: during \w+ operation)?: (?:curlCode: \d+, )?(.*)")

_log = logging.getLogger(__name__)
_jitter = random.SystemRandom()  # not the generator that a training may have seeded


class Retry:
    """Repeats an action whose failure may pass, with growing pauses and a line in the log each time.

    After it has given up on one action it tries the next ones once only, until one succeeds: we wait once for
    a store that is gone for good, not once per file.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds, self._given_up = SECONDS if seconds is None else seconds, False

    def __call__(self, action: Callable[[], T], failure: str) -> T:
        """Returns what `action` returns, or raises its last `OSError`. The log shows `failure`."""
        started, pause = time.monotonic(), 0.0
        seconds = 0.0 if self._given_up else self._seconds
        while True:
            try:
                result = action()
            except OSError as error:
                left = started + seconds - time.monotonic()
                if not may_pass(error):
                    raise
                if left <= 0:
                    self._given_up = True
                    raise
                pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE, left)
                plan = f"trying again in {pause:.2g} s, for {left:.0f} s"
                _log.warning("%s (%s); %s", failure, reason(error), plan)
                last = pause == left
                time.sleep(
                    pause if last else pause * _jitter.uniform(0.8, 1.0)
                )  # trials must not retry in step
            else:
                if pause:
                    _log.warning("the storage is back after %.0f s", time.monotonic() - started)
                self._given_up = False
                return result


def may_pass(error: OSError) -> bool:
    """Whether a failure of storage may end by itself."""
    return error.errno in _PASSING if error.errno else _PASSING_WORDS.search(str(error)) is not None


def reason(error: OSError) -> str:
    """Why storage failed, as the end of an error line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "there is a file where a folder should be"
    if error.errno and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    line = " ".join(str(error).split())
    if found := _OBJECT_STORE_ERROR.search(line):
        return f"{found[1]}: {re.split('; Details| [(]Request ID', found[2])[0]}"
    return line
