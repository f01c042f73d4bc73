"""`status.json`: how a sweep stands, for scripts and for whoever watches; the driver writes it.

It says nothing that the records do not, save what is only known while a driver is at work: where the running
trials stand, what is left, and the exit code at the end.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from ndabench.errors import UserError
from ndabench.records.store import RecordStore

STATUS_FILE = "status.json"
STATUS_VERSION = 1
"""Raised when a key changes its meaning. A new key needs no new version."""
SILENT_SECONDS = 180
"""A driver writes about twice a minute even where nothing changes; clocks may differ a little."""

State = Literal["running", "complete", "out of time", "interrupted", "failed"]


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """Where one running trial stands; `seconds_left` is an estimate, None before there is one."""

    trial_id: str
    label: str
    step: int
    num_steps: int | None
    objective: float | None
    seconds_left: float | None


@dataclass(frozen=True, kw_only=True)
class SweepStatus:
    """The whole of the file, key by key; docs/watching.md has their meaning. Times are UTC."""

    sweep: str
    state: State
    exit_code: int | None
    """None while the driver is at work."""
    message: str = ""
    """The error that ended the driver; empty where none did."""
    host: str
    pid: int
    started: datetime
    """When this driver began: a resumed sweep begins anew."""
    updated: datetime
    seconds_left: float | None = None
    trials: Mapping[str, int] = field(default_factory=dict)
    """`total`, and how many of them stand at each status; `waiting` has not begun in this driver."""
    running: tuple[RunningTrial, ...] = ()
    schema_version: int = STATUS_VERSION

    def is_silent(self) -> bool:
        """Whether its driver should be at work and has not written for long: it may have been killed."""
        age = (datetime.now(timezone.utc) - self.updated).total_seconds()
        return self.exit_code is None and age > SILENT_SECONDS


def write_status(store: RecordStore, status: SweepStatus) -> None:
    """Replaces `status.json`, whole or not at all."""
    values = dataclasses.asdict(status)
    values = {"schema_version": values.pop("schema_version"), **values}
    text = json.dumps(values, default=datetime.isoformat, indent=1, ensure_ascii=False, allow_nan=False)
    store.write_bytes(STATUS_FILE, f"{text}\n".encode())


def read_status(store: RecordStore) -> SweepStatus | None:
    """The status of a sweep; None where no driver has written one. Raises `UserError` for a newer version."""
    data = store.read_bytes(STATUS_FILE)
    if data is None:
        return None
    where = store.local_path(STATUS_FILE)
    try:
        values: dict[str, Any] = json.loads(data)
        version = int(values["schema_version"])
        for name in ("started", "updated"):
            values[name] = datetime.fromisoformat(values[name])
        values["running"] = tuple(RunningTrial(**_known(RunningTrial, trial)) for trial in values["running"])
        status = SweepStatus(**_known(SweepStatus, values))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: is no status of a sweep ({error!r})") from None
    if version > STATUS_VERSION:
        raise UserError(f"{where}: written by a newer ndabench (version {version}, not {STATUS_VERSION})")
    return status


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that this version knows: a later one may have added others."""
    names = {one.name for one in dataclasses.fields(kind)}
    return {key: value for key, value in values.items() if key in names}
