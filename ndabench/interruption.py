"""Ctrl-C and `kill` end every command in one way: a line that says so, and exit code 130.

Until a command begins, nothing needs to be put in order, and `leave_when_interrupted` ends the process at
once. `interruptible` then turns both signals into a `KeyboardInterrupt`, so that `with` and `finally` close
what is open. Imports nothing that takes time, because it is imported first.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

EXIT_CODE = 130


def leave_when_interrupted() -> None:
    """From now on either signal ends the process with one line: while modules are imported."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)


@contextmanager
def interruptible() -> Iterator[None]:
    """During the block Ctrl-C and `kill` (which stops a submitted job) raise `KeyboardInterrupt`."""
    process = os.getpid()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if os.getpid() == process:
            os.kill(process, signal.SIGINT)  # and not an exception: Ray Tune puts its handler in the way
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked child, such as one that decodes
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    before_term = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before_term)
        signal.signal(signal.SIGINT, before)


def keep_handlers() -> None:
    """Installs Python's handlers again where a library has replaced them below Python."""
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if handler is not None:
            signal.signal(number, handler)


@contextmanager
def handlers_restored() -> Iterator[None]:
    """After the block the handlers are as before it: Ray Tune leaves one that ignores the next Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that was not installed from Python
                signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    sys.stderr.write("interrupted\n")
    sys.stderr.flush()
    os._exit(EXIT_CODE)
