"""One driver at a time where a folder cannot be locked: a lease, renewed for as long as its driver lives.

Object stores know no locks, so a driver writes a file and keeps changing it. Who finds one watches it: no
change for a while, and its driver is taken for dead. Nobody's clock is compared with another's.

What this cannot do: a driver that was silent for long (asleep, or cut off from the storage) and wakes learns
of its successor only at its next renewal, so that for some seconds both are at work. The records bear that:
every file's name is a function of its trial and step, and a file is whole or absent.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from ndabench.errors import UserError
from ndabench.records import RecordStore

LEASE = ".driver.lease"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rhythm:
    """Seconds between the acts of a lease."""

    renewal: float = 10.0
    death: float = 35.0
    """Without a renewal for so long, a driver is taken for dead."""
    settling: float = 3.0
    """Of two drivers that start at once, the one whose file is still there after this goes on."""


class Lease:
    """A driver's hold of a sweep, from `take` to `release`. `lost` once another driver has taken it over."""

    def __init__(self, store: RecordStore, on_lost: Callable[[], None], rhythm: Rhythm | None = None) -> None:
        self._store, self._on_lost, self._rhythm = store, on_lost, rhythm or Rhythm()
        self._id, self._count, self.lost = uuid.uuid4().hex, 0, False
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="driver's lease", daemon=True)

    def take(self) -> None:
        """Returns when the sweep is this driver's; `UserError` where another one is at work."""
        self._await_death()
        self._renew(self._store)
        time.sleep(self._rhythm.settling)
        theirs = self._read(self._store)
        if theirs["driver"] != self._id:
            raise self._at_work(theirs)
        self._thread.start()

    def release(self) -> None:
        """Lets the next driver in without a wait."""
        self._released.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            if self._read(self._store.without_retry()).get("driver") == self._id:
                self._store.without_retry().delete(LEASE)
        except UserError as error:
            _log.warning("the next driver will have to wait: %s", error)

    def _await_death(self) -> None:
        """Returns once no driver renews a lease; `UserError` where one does."""
        first = self._read(self._store)
        if not first:
            return
        seconds = self._rhythm.death
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
        """Renews until released or lost, in a thread of its own; failing storage is for others to report."""
        store = self._store.without_retry()
        while not self._released.wait(self._rhythm.renewal):
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
        content = {
            "driver": self._id,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "renewals": self._count,
        }
        store.write_bytes(LEASE, json.dumps(content).encode())

    def _read(self, store: RecordStore) -> dict:
        return json.loads(store.read_bytes(LEASE) or b"{}")

    def _at_work(self, theirs: dict) -> UserError:
        return UserError(
            f"{self._store.root}: another driver is at work here (process {theirs['process']} on "
            f"{theirs['host']}); wait, or stop it"
        )
