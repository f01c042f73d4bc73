"""Whether a trial that was lost or failed restarts, and when.

Only restarts in a row without progress count. On preemptible machines a trial may be lost any number of
times, while a trial that fails at the same step each time is soon given up.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from ndabench.trials.config import TrialConfig

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0


@dataclass
class RestartHistory:
    """The restarts of one trial under this driver."""

    furthest: tuple[int, ...] = (-1,)
    """How far the trial has ever come: the step, then evaluations and their units done at this step."""
    restarts: int = 0
    in_a_row: int = 0
    """The restarts since the trial last passed `furthest`."""

    @property
    def summary(self) -> str:
        """`after 5 restarts, the last 2 without progress`; empty where there were none."""
        if not self.restarts:
            return ""
        counted = "after 1 restart" if self.restarts == 1 else f"after {self.restarts} restarts"
        if self.in_a_row == self.restarts:
            return f"{counted} without progress"
        return f"{counted}, the last {self.in_a_row} without progress" if self.in_a_row else counted


@dataclass(frozen=True)
class Restart:
    """The decision to restart a trial after `pause` seconds."""

    pause: float
    number: int
    """The count of restarts in a row without progress, at most `Restarts.most`."""


class Restarts:
    """The trials that wait for their restart. A trial gets at most `most` in a row without progress."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self._clock = most, clock
        self._histories: defaultdict[str, RestartHistory] = defaultdict(RestartHistory)
        self._waiting: dict[str, tuple[float, TrialConfig]] = {}

    def __len__(self) -> int:
        """How many trials wait."""
        return len(self._waiting)

    def history(self, trial_id: str) -> RestartHistory:
        return self._histories[trial_id]

    def progressed(self, trial_id: str, step: int, evaluated: tuple[int, int] = (0, 0)) -> None:
        history, here = self._histories[trial_id], (step, *evaluated)
        if here > history.furthest:
            history.furthest, history.in_a_row = here, 0

    def lost(self, trial: TrialConfig) -> Restart | None:
        """Lets a lost trial wait for its restart; None where the trial is given up."""
        history = self._histories[trial.trial_id]
        if history.in_a_row >= self.most:
            return None
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**history.in_a_row)
        history.restarts += 1
        history.in_a_row += 1
        self._waiting[trial.trial_id] = self._clock() + pause, trial
        return Restart(pause, history.in_a_row)

    def next(self, *, early: bool = False) -> tuple[TrialConfig, float] | None:
        """The trial whose pause is over, and 0; with `early`, the next trial and the seconds left."""
        if not self._waiting:
            return None
        trial_id = min(self._waiting, key=lambda waiting: self._waiting[waiting][0])
        until, trial = self._waiting[trial_id]
        left = max(0.0, until - self._clock())
        if left and not early:
            return None
        del self._waiting[trial_id]
        return trial, left
