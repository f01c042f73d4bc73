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


class Diary:
    """Keeps one trial's row; only the main worker's writes."""

    def __init__(self, row: TrialRow, store: RecordStore, writes: bool) -> None:
        before = store.read_trial(row.trial_id)
        self._row = row if before is None else replace(row, started=before.started, notes=before.notes)
        self._store, self._writes = store, writes
        self._clock, self._earlier_seconds = time.monotonic(), 0.0
        self._training_seconds, self._num_images, self._first_image = 0.0, 0, 0
        self.note()

    def note(self, **columns: Any) -> None:
        self._row = replace(self._row, **columns)
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


def close_row(store: RecordStore, trial_id: str, status: Literal["failed", "stopped"], error: str) -> None:
    """Ends the row of a trial that did not end it itself, because it was stopped or its process is gone."""
    row = store.read_trial(trial_id)
    if row is not None and row.status == "running":
        store.write_trial(replace(row, status=status, error=error, finished=now()))


def one_line(error: BaseException) -> str:
    """The error, for a record and a progress line, and where it is not a user's the place it came from."""
    if isinstance(error, UserError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500] + place


def now() -> datetime:
    return datetime.now(timezone.utc)
