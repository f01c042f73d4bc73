"""Trials that were lost or failed: whether they are begun again, and when. Knows no Ray.

What is counted is restarts in a row that got no further: on machines that come and go a trial may be lost
any number of times, while one that fails at the same place each time is soon given up.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from ndabench.trials import TrialConfig

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


@dataclass
class History:
    """What one trial went through in this driver."""

    furthest: int = -1
    """The last step that it has ever reported."""
    restarts: int = 0
    in_a_row: int = 0
    """Of the restarts, those since it last got further."""

    @property
    def told(self) -> str:
        """`after 5 restarts, the last 2 without progress`; empty where there were none."""
        if not self.restarts:
            return ""
        counted = "after 1 restart" if self.restarts == 1 else f"after {self.restarts} restarts"
        if self.in_a_row == self.restarts:
            return f"{counted} without progress"
        return f"{counted}, the last {self.in_a_row} without progress" if self.in_a_row else counted


@dataclass(frozen=True)
class Restart:
    """A trial that is begun again after `pause` seconds."""

    pause: float
    number: int
    """Of the restarts in a row without progress, at most as many as the `Restarts` allow."""


class Restarts:
    """Keeps the trials that wait to be begun again; `most` restarts in a row may get no further."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self._clock = most, clock
        self._histories: defaultdict[str, History] = defaultdict(History)
        self._waiting: dict[str, tuple[float, TrialConfig]] = {}

    def __len__(self) -> int:
        """How many trials wait."""
        return len(self._waiting)

    def history(self, trial_id: str) -> History:
        return self._histories[trial_id]

    def progressed(self, trial_id: str, step: int) -> None:
        history = self._histories[trial_id]
        if step > history.furthest:
            history.furthest, history.in_a_row = step, 0

    def lost(self, trial: TrialConfig) -> Restart | None:
        """Lets a trial that was lost wait for its next turn; None where it is given up."""
        history = self._histories[trial.trial_id]
        if history.in_a_row >= self.most:
            return None
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**history.in_a_row)
        history.restarts += 1
        history.in_a_row += 1
        self._waiting[trial.trial_id] = self._clock() + pause, trial
        return Restart(pause, history.in_a_row)

    def next(self, *, early: bool = False) -> tuple[TrialConfig, float] | None:
        """The trial that has waited to its end, and 0; or `early` the first one, and the seconds left."""
        if not self._waiting:
            return None
        trial_id = min(self._waiting, key=lambda waiting: self._waiting[waiting][0])
        until, trial = self._waiting[trial_id]
        left = max(0.0, until - self._clock())
        if left and not early:
            return None
        del self._waiting[trial_id]
        return trial, left
