"""The driver's `status.json`: written when a sweep begins, every few seconds on its way, and at its end."""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timezone
from types import TracebackType
from typing import Literal

from ndabench.errors import UserError
from ndabench.orchestration.standing import Standing, rounded
from ndabench.records import RecordStore, SweepStatus, write_status
from ndabench.records.status import State

LEAST_SECONDS = 3
"""From one writing to the next."""
MOST_SECONDS = 30
"""A driver that is at work writes this often even where nothing has changed."""


class StatusFile:
    """Says nothing before `begin`, since the folder may not be ours; its end is that of its `with` block.

    Where it cannot be written the sweep goes on: whether records can be is found out, and said, elsewhere.
    """

    def __init__(self, store: RecordStore, sweep: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._sweep, self._clock = store.without_retry(), sweep, clock
        self._standing: Standing | None = None
        self._started = datetime.now(timezone.utc)
        self._written, self._changes = clock(), -1
        self._ending: tuple[State, int] | None = None

    def __enter__(self) -> "StatusFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        state, code = self._ending or ("failed", 1)
        message = ""
        if isinstance(error, KeyboardInterrupt):
            state, code = "interrupted", 130
        elif error is not None:
            state, code = "failed", 2 if isinstance(error, UserError) else 1
            message = " ".join(str(error).split())[:500] or type(error).__name__
        self._write(state, code, message)
        return False

    def begin(self, standing: Standing) -> None:
        """From now on the folder is ours, and `standing` is what to say."""
        self._standing = standing
        self._write("running")

    def refresh(self) -> None:
        """Writes if it is time to; to be called often."""
        if self._standing is None:
            return
        changed = self._standing.changes != self._changes
        if self._clock() - self._written >= (LEAST_SECONDS if changed else MOST_SECONDS):
            self._write("running")

    def end(self, state: State, exit_code: int) -> None:
        """How the `with` block will have ended, unless an exception ends it; no trial runs any more."""
        self._ending = state, exit_code
        self._write("running")

    def broken_off(self, message: str) -> None:
        """The process ends now and here, for the reason that `message` tells."""
        self._write("failed", 2, message)

    def _write(self, state: State, exit_code: int | None = None, message: str = "") -> None:
        standing = self._standing
        if standing is None:
            return
        self._changes = standing.changes
        over = exit_code is not None or self._ending is not None
        status = SweepStatus(
            sweep=self._sweep,
            state=state,
            exit_code=exit_code,
            message=message,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=self._started,
            updated=datetime.now(timezone.utc),
            seconds_left=rounded(standing.seconds_left()) if not over else None,
            trials=standing.counts(),
            running=standing.shown(),
        )
        with contextlib.suppress(UserError):
            write_status(self._store, status)
        self._written = self._clock()
