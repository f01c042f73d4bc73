"""One trial's row while the trial runs: written at its start, whenever more is known, and at its end."""

import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from ndabench.errors import UserError
from ndabench.foreign_text import escaped
from ndabench.measurement import Measurement
from ndabench.records.schema import TrialRow
from ndabench.records.store import RecordStore
from ndabench.records.trial_log import TrialLog

LONGEST_ERROR = 2000
"""Characters of an exception's text that a record keeps."""


class SupersededError(UserError):
    """A later attempt at the same trial has begun: this one must not write any more."""


class Timed(Protocol):
    """What the recorder reads from a trial's progress."""

    @property
    def num_images(self) -> int: ...

    @property
    def num_judged(self) -> int | None: ...

    @property
    def metrics(self) -> Mapping[str, Measurement]: ...


P = TypeVar("P", bound=Timed)


class TrialRecorder:
    """Keeps one trial's row and its `log`; only the main worker's recorder writes.

    A process that was cut off from its sweep may live on while its successor works. Therefore each attempt
    records its number in the row and checks the row before it writes anything (`check_fencing`); an attempt
    that finds a later number raises `SupersededError` and stops writing. One gap remains: a successor may
    begin between the check and the write, most likely while the write waits for storage to come back. Then
    one file may be written late. The records tolerate that: files are whole, a file's name is given by trial
    and step, and the successor measures the same values at that step (on CPUs to the bit).
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
        self._num_judged: int | None = None
        self.log = TrialLog(store, row.trial_id)
        self.log.say(f"attempt {self._row.attempts}, {row.device} of {', '.join(row.hosts)}")
        self._write()

    def note(self, **columns: Any) -> None:
        """Sets columns of the row; raises `SupersededError` if a later attempt has begun."""
        self.check_fencing()
        self._row = replace(self._row, **columns)
        self._write()

    def remark(self, text: str) -> None:
        """Adds a sentence to the row's notes, once."""
        notes, text = self._row.notes or "", escaped(text)
        if text not in notes:
            self.log.say(text)
            self.note(notes=f"{notes}; {text}" if notes else text)

    def check_fencing(self) -> None:
        """Raises `SupersededError` in the main worker of an attempt that is not the trial's latest."""
        if not self._writes:
            return
        content = self._store.read_bytes(f"trials/{self._row.trial_id}.parquet")
        if content == self._seen:  # comparing bytes costs a hundredth of parsing them
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
        """Takes over the seconds and images of the attempts before the checkpoint."""
        self._earlier_seconds = checkpoint["seconds"]
        self._num_images = self._first_image = checkpoint["num_images"]

    def timed(self, run: Iterator[P]) -> P | None:
        """The next progress; the time until then, without the time of its measurements, counts as
        training."""
        start = time.monotonic()
        progress = next(run, None)
        if progress is not None:
            measuring = sum(measurement.seconds for measurement in progress.metrics.values())
            self._training_seconds += time.monotonic() - start - measuring
            self._num_images, self._num_judged = progress.num_images, progress.num_judged
        return progress

    def spent(self) -> dict[str, Any]:
        """`seconds` and `num_images` over all attempts, for a checkpoint."""
        seconds = self._earlier_seconds + time.monotonic() - self._clock
        return {"seconds": seconds, "num_images": self._num_images}

    def end(self, status: Literal["finished", "failed", "diverged"], error: str = "") -> None:
        """Closes the row with its timings and what it judged."""
        images = self._num_images - self._first_image
        rate = images / self._training_seconds if images else None
        seconds = self.spent()["seconds"]
        self.note(
            status=status,
            error=error,
            finished=now(),
            seconds=seconds,
            images_per_second=rate,
            images_judged=self._num_judged,
        )
        self._end_log(f"{status}: {error}" if error else status)

    def stop(self) -> None:
        """Closes the row of a trial that its caller stops, unless it is closed already."""
        row = self._store.read_trial(self._row.trial_id) if self._writes else None
        if row is not None and row.attempts == self._row.attempts:
            close_row(self._store, row.trial_id, "stopped", "stopped before its last step")
            self._end_log("stopped")

    def _end_log(self, how: str) -> None:
        self.log.say(how)
        if self._writes:
            self.log.save()


def close_row(
    store: RecordStore, trial_id: str, status: Literal["failed", "pruned", "stopped"], error: str
) -> None:
    """Closes the row of a trial that did not close it itself: it was stopped, or its process is gone."""
    row = store.read_trial(trial_id)
    if row is not None and row.status == "running":
        store.write_trial(replace(row, status=status, error=error, finished=now()))


def fail_row(store: RecordStore, planned: TrialRow, error: str) -> None:
    """Closes the row of a trial that is given up; `planned` is its row if the trial never wrote one."""
    row = store.read_trial(planned.trial_id) or planned
    if row.status in ("running", "failed"):
        store.write_trial(replace(row, status="failed", error=error, finished=now()))


def one_line(error: BaseException) -> str:
    """The error for a record or a progress line; unless it is a `UserError`, with the place it came from."""
    if isinstance(error, UserError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST_ERROR] + place


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(timezone.utc)
