"""Curves for TensorBoard: `tensorboard --logdir <folder of the sweep>/tensorboard`, a run for each trial.

tensorboardX, which comes with Ray, writes the event files. A trial has one file: when the trial begins, or a
new driver resumes it, a new file with everything from the records replaces the old one. So no point appears
twice after an interruption, and the new file tells a TensorBoard that has read the old one to drop it.

An event file grows while a trial runs, but an object in a store cannot grow. For an object store the file is
written in a temporary folder and copied when the trial, or the driver, ends.
"""

import contextlib
import importlib.util
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ndabench.records import RecordStore, TrialRow
from ndabench.scratch import scratch_folder
from ndabench.tracking.config import TensorBoardConfig

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

FOLDER = "tensorboard"


def tensorboard_tracker(
    config: TensorBoardConfig, sweep: str, store: RecordStore
) -> "TensorBoardTracker | None":
    """The tracker; None without tensorboardX, since it is on by default and the user may not have asked for
    it."""
    return TensorBoardTracker(store) if importlib.util.find_spec("tensorboardX") is not None else None


class TensorBoardTracker:
    """Writes each trial's metrics to an event file; needs tensorboardX."""

    name = "TensorBoard"

    def __init__(self, store: RecordStore) -> None:
        _import_without_torch()
        self._store = store
        self._copies = not store.is_local
        self._writers: dict[str, EventsWriter] = {}
        self._unsent: set[str] = set()
        """Trials whose closed files still have to be copied to the sweep's folder."""
        self._temporary: Path | None = None
        self._open = contextlib.ExitStack()

    def begin(self, row: TrialRow) -> int:
        """Opens a new file for the trial; returns -1, since it has no steps yet."""
        # late: optional, and imported without torch before
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        if row.trial_id in self._writers:
            self._writers.pop(row.trial_id).close()
        replaced = bool(self._store.list(f"{FOLDER}/{row.trial_id}"))
        self._store.delete(f"{FOLDER}/{row.trial_id}")
        folder = self._folder(row.trial_id)
        folder.mkdir(parents=True, exist_ok=True)
        writer = self._writers[row.trial_id] = EventsWriter(str(folder / "events"))
        if replaced:  # a TensorBoard that is running drops what it has read from step 0 on
            writer.write_event(Event(wall_time=time.time(), session_log=SessionLog(status=SessionLog.START)))
        writer.flush()
        return -1

    def log(self, trial_id: str, step: int, values: Mapping[str, float]) -> None:
        # late: optional, and imported without torch before
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=scalars))
        self._writers[trial_id].write_event(event)
        self._writers[trial_id].flush()

    def end(self, row: TrialRow) -> None:
        self._finish(row.trial_id)

    def close(self) -> None:
        problems = []
        for trial_id in {*self._writers, *self._unsent}:
            try:
                self._finish(trial_id)
            except Exception as error:  # storage may raise anything; other trials' curves are still copied
                problems.append(error)
        self._open.close()
        if problems:
            raise problems[0]

    def _finish(self, trial_id: str) -> None:
        """Closes the trial's file and, if the sweep's folder is on no disk, copies it there.

        Called again where the copy failed.
        """
        if (writer := self._writers.pop(trial_id, None)) is not None:
            writer.close()
        if self._copies:
            self._unsent.add(trial_id)
            for file in self._folder(trial_id).iterdir():
                self._store.write_bytes(f"{FOLDER}/{trial_id}/{file.name}", file.read_bytes())
                file.unlink()
            self._unsent.discard(trial_id)

    def _folder(self, trial_id: str) -> Path:
        if not self._copies:
            return Path(self._store.local_path(f"{FOLDER}/{trial_id}"))
        if self._temporary is None:  # not before a trial begins: `close` is only called by then
            self._temporary = self._open.enter_context(scratch_folder())
        return self._temporary / trial_id


def _import_without_torch() -> None:
    """Imports tensorboardX without torch, which it would import to convert tensors and which takes seconds.

    tensorboardX works without torch where torch is not installed, so torch is hidden during the import.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]  # how Python marks a module that does not exist
    try:
        import tensorboardX  # noqa: F401  # late: optional, and torch is hidden only here
    finally:
        if hidden:
            del sys.modules["torch"]
