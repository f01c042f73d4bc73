"""The row of a trial as it fills: written when the trial starts, when more is known, and when it ends."""

import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from ndabench.errors import UserError
from ndabench.records import RecordStore, TrialRow
from ndabench.tasks.task import Progress

STOPPED_EARLY = "stopped early by the scheduler"
"""The error of a trial that a scheduler ended: its result stands, and a resumed sweep leaves it alone."""


class SupersededError(UserError):
    """A later attempt at the same trial has begun: this one must write no more."""


class Diary:
    """Keeps one trial's row; only the main worker's writes.

    A process that was cut off from its sweep may live on beside its successor. Each attempt counts itself in
    the row, and looks there before it writes anything (`require_latest`): one that finds a later attempt
    raises `SupersededError` and writes no more. What this cannot do: a successor may begin between the look
    and the writing, which takes longest where storage was away and is waited for. One file may then be
    written late. The records bear that: files are whole and named by trial and step, and what is in them is
    what the successor measures at that step, too; on CPUs to the bit.
    """

    def __init__(self, row: TrialRow, store: RecordStore, writes: bool) -> None:
        before = store.read_trial(row.trial_id)
        if before is None:
            self._row = replace(row, attempts=1)
        else:
            attempts = (before.attempts or 0) + 1
            self._row = replace(row, started=before.started, notes=before.notes, attempts=attempts)
        self._store, self._writes = store, writes
        self._seen: bytes | None = b""
        self._clock, self._earlier_seconds = time.monotonic(), 0.0
        self._training_seconds, self._num_images, self._first_image = 0.0, 0, 0
        self._write()

    def note(self, **columns: Any) -> None:
        self.require_latest()
        self._row = replace(self._row, **columns)
        self._write()

    def require_latest(self) -> None:
        """Raises `SupersededError` in the main worker of an attempt that is not the trial's latest."""
        if not self._writes:
            return
        content = self._store.read_bytes(f"trials/{self._row.trial_id}.parquet")
        if content == self._seen:  # a hundred times cheaper than to understand it
            return
        latest = self._store.read_trial(self._row.trial_id)
        if latest is not None and (latest.attempts or 0) > (self._row.attempts or 0):
            raise SupersededError(
                f"{self._row.trial_id}: attempt {latest.attempts}, in another process, has taken this trial "
                f"over from attempt {self._row.attempts}, which stops here"
            )
        self._seen = content

    def _write(self) -> None:
        if self._writes:
            self._store.write_trial(self._row)

    def resumed(self, checkpoint: Mapping[str, Any]) -> None:
        self._earlier_seconds = checkpoint["seconds"]
        self._num_images = self._first_image = checkpoint["num_images"]

    def timed(self, run: Iterator[Progress]) -> Progress | None:
        """The next progress; the time to it, less its measurements', counts as training."""
        start = time.monotonic()
        progress = next(run, None)
        if progress is not None:
            measuring = sum(measurement.seconds for measurement in progress.metrics.values())
            self._training_seconds += time.monotonic() - start - measuring
            self._num_images = progress.num_images
        return progress

    def spent(self) -> dict[str, Any]:
        seconds = self._earlier_seconds + time.monotonic() - self._clock
        return {"seconds": seconds, "num_images": self._num_images}

    def end(self, status: Literal["finished", "failed", "diverged"], error: str = "") -> None:
        images = self._num_images - self._first_image
        rate = images / self._training_seconds if images else None
        seconds = self.spent()["seconds"]
        self.note(status=status, error=error, finished=now(), seconds=seconds, images_per_second=rate)

    def stop(self) -> None:
        """Ends the row of a trial that its caller stops, unless somebody has ended it already."""
        row = self._store.read_trial(self._row.trial_id) if self._writes else None
        if row is not None and row.attempts == self._row.attempts:
            close_row(self._store, row.trial_id, "stopped", "stopped before its last step")


def close_row(store: RecordStore, trial_id: str, status: Literal["failed", "stopped"], error: str) -> None:
    """Ends the row of a trial that did not end it itself, because it was stopped or its process is gone."""
    row = store.read_trial(trial_id)
    if row is not None and row.status == "running":
        store.write_trial(replace(row, status=status, error=error, finished=now()))


def fail_row(store: RecordStore, planned: TrialRow, error: str) -> None:
    """Ends the row of a trial that is given up; `planned` is its row where it never came to write one."""
    row = store.read_trial(planned.trial_id) or planned
    if row.status in ("running", "failed"):
        store.write_trial(replace(row, status="failed", error=error, finished=now()))


def one_line(error: BaseException) -> str:
    """The error, for a record and a progress line, and where it is not a user's the place it came from."""
    if isinstance(error, UserError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500] + place


def now() -> datetime:
    return datetime.now(timezone.utc)
