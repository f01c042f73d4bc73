"""How a running sweep stands: what has ended, what runs and where it is, how long the rest may take."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ndabench.records import RunningTrial
from ndabench.records.schema import Status
from ndabench.trials import TrialConfig

ENDED: tuple[Status, ...] = ("finished", "pruned", "stopped", "diverged", "failed")
LEAST_SHARE = 0.3
"""Of one trial: what must be done before the time left is estimated."""


@dataclass
class Running:
    """One trial on its way. `since` and `since_step` tell its pace: its first word in this driver."""

    trial: TrialConfig
    step: int = 0
    num_steps: int | None = None
    objective: float | None = None
    since: float | None = None
    since_step: int = 0

    @property
    def share(self) -> float:
        """Of its steps, in [0, 1]."""
        return self.step / max(1, self.num_steps) if self.num_steps is not None else 0.0

    def seconds_left(self, now: float) -> float | None:
        if self.since is None or self.num_steps is None or self.step <= self.since_step:
            return None
        return (now - self.since) * (self.num_steps - self.step) / (self.step - self.since_step)

    def shown(self, now: float) -> RunningTrial:
        finite = self.objective is not None and math.isfinite(self.objective)
        return RunningTrial(
            trial_id=self.trial.trial_id,
            label=self.trial.label,
            step=self.step,
            num_steps=self.num_steps,
            objective=self.objective if finite else None,
            seconds_left=rounded(self.seconds_left(now)),
        )


class Standing:
    """Learns what happens to the trials of a sweep; `changes` counts what it learnt."""

    def __init__(
        self, total: int, ended: Mapping[str, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.changes = total, 0
        self.running: dict[str, Running] = {}
        self._statuses = Counter(ended)
        self._already = self._statuses.total()
        self._clock, self._began = clock, clock()

    @property
    def ended(self) -> int:
        """Trials that have ended, before this driver began or since."""
        return self._statuses.total()

    @property
    def share_ended(self) -> float:
        """Trials that have ended, with the shares of those that run."""
        return self.ended + sum(running.share for running in self.running.values())

    def started(self, trial: TrialConfig) -> bool:
        """False where it runs already: started again, after a process was lost."""
        self.changes += 1
        if trial.trial_id in self.running:
            return False
        self.running[trial.trial_id] = Running(trial)
        return True

    def progressed(self, trial_id: str, result: Mapping[str, Any]) -> Running:
        running = self.running[trial_id]
        running.step, running.num_steps = result["step"], result["num_steps"]
        running.objective = result.get("objective")
        if running.since is None or running.step < running.since_step:
            running.since, running.since_step = self._clock(), running.step
        self.changes += 1
        return running

    def restarted(self, trial_id: str) -> Running:
        running = self.running[trial_id]
        running.since = None  # it goes on from its checkpoint: its pace is measured anew
        self.changes += 1
        return running

    def closed(self, trial_id: str, status: str) -> Running:
        self._statuses[status] += 1
        self.changes += 1
        return self.running.pop(trial_id)

    def seconds_left(self) -> float | None:
        """From the share of the work done since the driver began; None while there is no telling."""
        done = self.share_ended - self._already
        remaining = self.total - self._already - done
        if done < LEAST_SHARE or remaining <= 0:
            return None
        return (self._clock() - self._began) * remaining / done

    def counts(self) -> dict[str, int]:
        """`total`, `waiting`, `running`, and the trials that have ended, status by status."""
        waiting = max(0, self.total - self.ended - len(self.running))
        counts = {"total": self.total, "waiting": waiting, "running": len(self.running)}
        return counts | {name: self._statuses[name] for name in ENDED}

    def shown(self) -> tuple[RunningTrial, ...]:
        now = self._clock()
        return tuple(running.shown(now) for running in self.running.values())


def rounded(seconds: float | None) -> float | None:
    """To a tenth of a second."""
    return None if seconds is None else round(seconds, 1)
