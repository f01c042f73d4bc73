"""Follows the records of trials and passes them on to trackers, in a thread that never delays the sweep.

Trackers get what is in the records, so they miss nothing if a server was away or a driver was killed: the
mirror follows a trial from the last step that the tracker has. After an error it asks for that step again,
since a call whose answer was lost may have been carried out.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType

from ndabench.foreign_text import without_secrets
from ndabench.records import RecordStore, TrialRow
from ndabench.tracking.tracker import Tracker

PAUSE_SECONDS = 2.0
"""From one look at the records to the next."""
PATIENCE_SECONDS = 60.0
"""How long to wait at the end until everything is passed on."""

logger = logging.getLogger(__name__)


class Mirror:
    """A thread that runs while its `with` block lasts. It logs a tracker's errors and continues."""

    def __init__(self, store: RecordStore, trackers: Sequence[Tracker], pause: float = PAUSE_SECONDS) -> None:
        self._store, self._trackers, self._pause = store.without_retry(), trackers, pause
        self._last: dict[tuple[str, str], int] = {}
        self._ended: dict[tuple[str, str], datetime | None] = {}
        self._problems: dict[str, str] = {}
        self._changed: set[str] = set()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="ndabench-mirror", daemon=True)

    def __enter__(self) -> "Mirror":
        if self._trackers:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._trackers:
            self._thread.join(PATIENCE_SECONDS)
            names = " and ".join(tracker.name for tracker in self._trackers)
            if self._thread.is_alive():
                logger.warning("%s had not received everything after %g s", names, PATIENCE_SECONDS)

    def changed(self, trial_id: str) -> None:
        """Call this when the trial has recorded something or has ended. Never waits."""
        with self._lock:
            self._changed.add(trial_id)

    def _follow(self) -> None:
        last = False
        while not last:
            last = self._over.wait(self._pause)
            with self._lock:
                changed, self._changed = self._changed, set()
            if last:
                changed |= {trial_id for _, trial_id in self._last}
            for trial_id in sorted(changed):
                for tracker in self._trackers:
                    self._pass_on(tracker, trial_id)
        for tracker in self._trackers:
            try:
                tracker.close()
            except Exception as error:
                logger.warning("%s: %s", tracker.name, _one_line(error))

    def _pass_on(self, tracker: Tracker, trial_id: str) -> None:
        try:
            row = self._store.read_trial(trial_id)  # before its metrics: once it has ended, they are whole
            if row is not None:
                shown = replace(row, error=without_secrets(row.error)) if row.error else row
                self._bring_up_to_date(tracker, shown)
            self._problems.pop(tracker.name, None)
        except Exception as error:  # a server, a network or a library may raise anything
            problem = _one_line(error)
            if tracker.name not in self._problems:
                logger.warning("%s: %s; the sweep continues and tries this again", tracker.name, problem)
            self._problems[tracker.name] = problem
            self._last.pop((tracker.name, trial_id), None)
            self.changed(trial_id)

    def _bring_up_to_date(self, tracker: Tracker, row: TrialRow) -> None:
        key = (tracker.name, row.trial_id)
        if row.status != "running" and key in self._ended and self._ended[key] == row.finished:
            return
        if key not in self._last:
            self._last[key] = tracker.begin(row)
        for step, values in self._store.read_steps(row.trial_id, self._last[key]):
            tracker.log(row.trial_id, step, values)
            self._last[key] = step
        if row.status != "running":
            tracker.end(row)
            del self._last[key]
            self._ended[key] = row.finished


def _one_line(error: Exception) -> str:
    return without_secrets(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
