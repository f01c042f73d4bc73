"""One driver at a time where a folder cannot be locked: a lease that its driver renews while it lives.

Object stores have no locks, so a driver writes a file and keeps changing it. A driver that finds such a file
watches it: if the file does not change for a while, it takes the other driver for dead. Clocks of different
machines are never compared.

The limit: a driver that was suspended or cut off from the storage learns of its successor only at its next
renewal, so for some seconds both may write. The records tolerate that: the name of a file depends on its
trial and step only, and a file is whole or absent.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ndabench.errors import UserError
from ndabench.records import RecordStore

LEASE = ".driver.lease"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeaseTiming:
    """The times of a lease, in seconds."""

    renewal: float = 10.0
    death: float = 35.0
    """A driver that does not renew its lease for this long is taken for dead."""
    settling: float = 3.0
    """If two drivers start at once, the one whose file is still there after this time continues."""


class Content(BaseModel):
    """What a driver writes into the file."""

    driver: str
    host: str
    process: int
    renewals: int


class Lease:
    """A driver's lease on a sweep, from `take` to `release`; `lost` once another driver has taken it over."""

    def __init__(
        self, store: RecordStore, on_lost: Callable[[], None], timing: LeaseTiming | None = None
    ) -> None:
        self._store, self._on_lost, self._timing = store, on_lost, timing or LeaseTiming()
        self._id, self._count, self.lost = uuid.uuid4().hex, 0, False
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="driver's lease", daemon=True)

    def take(self) -> None:
        """Returns when the sweep is this driver's. Raises `UserError` where another driver is at work."""
        self._await_death()
        self._renew(self._store)
        time.sleep(self._timing.settling)
        theirs = self._read(self._store)
        if theirs.get("driver") != self._id:
            raise self._at_work(theirs)
        self._thread.start()

    def release(self) -> None:
        """Lets the next driver start without waiting."""
        self._released.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            if self._read(self._store.without_retry()).get("driver") == self._id:
                self._store.without_retry().delete(LEASE)
        except UserError as error:
            _log.warning("the next driver will have to wait: %s", error)

    def _await_death(self) -> None:
        """Returns once no driver renews a lease. Raises `UserError` where one does."""
        first = self._read(self._store)
        if not first:
            return
        seconds = self._timing.death
        _log.warning(
            "%s: a driver on %s held this sweep; waiting %.0f s to see whether it lives",
            self._store.root,
            first["host"],
            seconds,
        )
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(seconds / 35)
            now = self._read(self._store)
            if not now:
                return
            if now != first:
                raise self._at_work(now)

    def _keep(self) -> None:
        """Renews until released or lost, in a thread; whoever writes records reports a failing storage."""
        store = self._store.without_retry()
        while not self._released.wait(self._timing.renewal):
            try:
                if self._read(store).get("driver", self._id) != self._id:
                    self.lost = True
                    self._on_lost()
                    return
                self._renew(store)
            except UserError:
                continue

    def _renew(self, store: RecordStore) -> None:
        self._count += 1
        content = Content(
            driver=self._id, host=socket.gethostname(), process=os.getpid(), renewals=self._count
        )
        store.write_bytes(LEASE, content.model_dump_json().encode())

    def _read(self, store: RecordStore) -> dict[str, Any]:
        """The lease; empty where there is none. A damaged one belongs to nobody known, but may be renewed."""
        content = store.read_bytes(LEASE)
        if not content:
            return {}
        try:
            return Content.model_validate_json(content).model_dump()
        except ValueError:
            return {"host": "an unknown machine", "process": "unknown", "content": content}

    def _at_work(self, theirs: dict[str, Any]) -> UserError:
        return UserError(
            f"{self._store.root}: another driver is at work here (process {theirs['process']} on "
            f"{theirs['host']}); wait, or stop it"
        )
