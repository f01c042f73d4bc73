"""`status.json`: the progress of a sweep, for scripts and for people who watch; the driver writes it.

It repeats the records and adds what only a running driver knows: the progress of the running trials, the time
left, and the exit code at the end.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from ndabench.errors import UserError
from ndabench.records.schema import ENDED
from ndabench.records.store import RecordStore

STATUS_FILE = "status.json"
STATUS_VERSION = 2
"""Raised when a key changes its meaning. A new key needs no new version.

Since version 2 `stopped` no longer counts the trials that are `pruned`.
"""
SILENT_SECONDS = 180
"""A driver writes about twice a minute even where nothing changes; clocks may differ a little."""

State = Literal["running", "complete", "out of time", "over a limit", "no baseline", "interrupted", "failed"]


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """The progress of one running trial; `seconds_left` is an estimate, None before there is one."""

    trial_id: str
    label: str
    step: int
    num_steps: int | None
    objective: float | None
    seconds_left: float | None


@dataclass(frozen=True, kw_only=True)
class SweepStatus:
    """The content of the file; docs/watching.md explains each key. Times are UTC."""

    sweep: str
    state: State
    exit_code: int | None
    """None while the driver is at work."""
    message: str = ""
    """The error that ended the driver; empty where none did."""
    host: str
    pid: int
    started: AwareDatetime
    """When this driver started; a resumed sweep has a new driver."""
    updated: AwareDatetime
    seconds_left: float | None = None
    trials: Mapping[str, int] = field(default_factory=dict)
    """`total`, and the number of trials in each status; `waiting` have not begun in this driver."""
    running: tuple[RunningTrial, ...] = ()
    schema_version: int = STATUS_VERSION

    @property
    def ended(self) -> int:
        """How many trials have ended, in whichever way."""
        return sum(self.trials.get(name, 0) for name in ENDED)

    def is_silent(self) -> bool:
        """Whether the driver should be running but has not written for long: it may have been killed."""
        age = (datetime.now(timezone.utc) - self.updated).total_seconds()
        return self.exit_code is None and age > SILENT_SECONDS


def write_status(store: RecordStore, status: SweepStatus) -> None:
    """Replaces `status.json`, whole or not at all."""
    values = dataclasses.asdict(status)
    values = {"schema_version": values.pop("schema_version"), **values}
    text = json.dumps(values, default=datetime.isoformat, indent=1, ensure_ascii=False, allow_nan=False)
    store.write_bytes(STATUS_FILE, f"{text}\n".encode())


class StatusError(UserError):
    """The file was read, but what it holds cannot be used."""


def read_status(store: RecordStore) -> SweepStatus | None:
    """The status of a sweep; None where no driver has written one.

    Raises `StatusError` for a damaged file and for a newer version."""
    data = store.read_bytes(STATUS_FILE)
    if data is None:
        return None
    where = store.local_path(STATUS_FILE)
    try:
        status = TypeAdapter(SweepStatus).validate_json(data)  # a later version may have added keys
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        why = f"{key}: {first['msg']}" if key else first["msg"]
        raise StatusError(f"{where}: is not the status of a sweep ({why})") from None
    if status.schema_version > STATUS_VERSION:
        version = f"version {status.schema_version}, not {STATUS_VERSION}"
        raise StatusError(f"{where}: written by a newer ndabench ({version})")
    return status
