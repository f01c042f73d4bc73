"""The driver's `status.json`: written when a sweep begins, every few seconds, and at its end."""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timezone
from types import TracebackType
from typing import Literal

from ndabench.errors import UserError
from ndabench.planning.sweep_state import Event, SweepEnded, SweepState, Tick, rounded
from ndabench.records import RecordStore, SweepStatus, write_status
from ndabench.records.status import State

LEAST_SECONDS = 3
"""From one write to the next."""
MOST_SECONDS = 30
"""A live driver writes this often even where nothing has changed."""


class StatusFile:
    """An observer of a sweep. It writes nothing before `follow`, because the folder may not be the sweep's.

    The end of the `with` block is the end of the driver, and the file then says how it ended. Where it cannot
    be written the sweep continues: whoever writes the records notices that storage is out of reach.
    """

    def __init__(self, store: RecordStore, sweep: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._sweep, self._clock = store.without_retry(), sweep, clock
        self._state: SweepState | None = None
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

    def follow(self, state: SweepState) -> None:
        """The folder now belongs to the sweep: writes its `state`, and again as it changes."""
        self._state = state
        state.subscribe("status.json", self.observe)
        self._write("running")

    def observe(self, event: Event) -> None:
        match event:
            case Tick() if self._state is not None:
                changed = self._state.changes != self._changes
                if self._clock() - self._written >= (LEAST_SECONDS if changed else MOST_SECONDS):
                    self._write("running")
            case SweepEnded(ending, exit_code):  # the driver still writes the report
                self._ending = ending, exit_code
                self._write("running")

    def broken_off(self, message: str) -> None:
        """The process ends immediately, for the reason in `message`."""
        self._write("failed", 2, message)

    def _write(self, state: State, exit_code: int | None = None, message: str = "") -> None:
        sweep = self._state
        if sweep is None:
            return
        self._changes = sweep.changes
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
            seconds_left=rounded(sweep.seconds_left()) if not over else None,
            trials=sweep.counts(),
            running=sweep.summaries(),
        )
        with contextlib.suppress(UserError):
            write_status(self._store, status)
        self._written = self._clock()
