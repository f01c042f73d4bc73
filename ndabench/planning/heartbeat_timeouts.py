"""When a process that sends no heartbeats counts as dead.

A process sends a heartbeat every few seconds (`interval`). It may be late: some decoders hold Python's global
lock for tens of seconds.
"""

import time
from collections.abc import Callable, Mapping

HEARTBEATS_PER_TIMEOUT = 8
LONGEST_INTERVAL_SECONDS = 5.0


def interval(timeout: float) -> float:
    """Seconds between two heartbeats of a process that may be silent for `timeout` seconds."""
    return min(LONGEST_INTERVAL_SECONDS, timeout / HEARTBEATS_PER_TIMEOUT)


class HeartbeatTimeouts:
    """How long each process has sent nothing new.

    Only the time during which somebody looked counts: after the driver itself was suspended, every process
    gets another chance.
    """

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout, self._clock = timeout, clock
        self._last_update = clock()
        self._silences: dict[str, tuple[object, float]] = {}
        """The newest heartbeat of each process, and for how many seconds it has been the newest."""

    def update(self, heartbeats: Mapping[str, object]) -> list[str]:
        """Notes the newest heartbeat of each process; returns the processes that were silent for too long."""
        now = self._clock()
        passed = min(now - self._last_update, 2 * interval(self._timeout))
        self._last_update = now
        silences = {}
        for name, heartbeat in heartbeats.items():
            last, silence = self._silences.get(name, (None, 0.0))
            unchanged = name in self._silences and last == heartbeat
            silences[name] = heartbeat, silence + passed if unchanged else 0.0
        self._silences = silences
        return [name for name, (_, silence) in silences.items() if silence > self._timeout]
