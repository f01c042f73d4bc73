"""What ends a sweep before its last trial: a limit that is reached, and a baseline that never trains."""

import time
from collections.abc import Callable, Iterable, Mapping

from ndabench.claims import BASELINE
from ndabench.planning.outcomes import Outcome
from ndabench.planning.sweep_file import Limits, SweepConfig
from ndabench.planning.sweep_state import Ending, Event, TrialEnded, TrialInterrupted, TrialStarted

SECONDS_BETWEEN_LOOKS = 30.0
"""Looking at the size of the results costs a listing of their files."""
GIB = 2**30
Stop = tuple[Ending, str]
"""How the sweep ends, and the line that says why."""


class Spending:
    """What the sweep has used of its limits, over all its drivers; an observer of the sweep.

    `seconds` is the time that recorded trials have taken so far, by id; `gpus` are those of one trial, and
    `size` tells the bytes of the folder of results.
    """

    def __init__(
        self,
        limits: Limits,
        gpus: float,
        seconds: Mapping[str, float],
        size: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits, self._gpus, self._size, self._clock = limits, gpus, size, clock
        self._seconds, self._since = dict(seconds), dict[str, float]()
        self._next_look = clock()

    def observe(self, event: Event) -> None:
        match event:
            case TrialStarted(active):
                self._since[active.trial.trial_id] = self._clock()
            case TrialEnded(active) | TrialInterrupted(active):
                trial_id = active.trial.trial_id
                began = self._since.pop(trial_id, self._clock())
                self._seconds[trial_id] = self._seconds.get(trial_id, 0.0) + self._clock() - began

    @property
    def gpu_hours(self) -> float:
        """Of all trials, waiting for a restart included."""
        running = sum(self._clock() - began for began in self._since.values())
        return (sum(self._seconds.values()) + running) * self._gpus / 3600

    def why_stop(self) -> Stop | None:
        """None while no limit is reached."""
        if self._clock() < self._next_look:
            return None
        self._next_look = self._clock() + SECONDS_BETWEEN_LOOKS
        hours, disk = self._limits.gpu_hours, self._limits.disk_gib
        if hours is not None and (used := self.gpu_hours) >= hours:
            return "over a limit", f"limits.gpu_hours: {used:.2f} of {hours:g} GPU-hours are used; stopping"
        if disk is not None and (size := self._size() / GIB) >= disk:
            return "over a limit", f"limits.disk_gib: the results take {size:.2f} of {disk:g} GiB; stopping"
        return None


class BaselineWatch:
    """Notices that the baseline has diverged at every seed, so that nothing can be compared with it; an
    observer of the sweep."""

    def __init__(self, config: SweepConfig, recorded: Iterable[Outcome]) -> None:
        baseline = next((arm for arm in config.arms if arm.name == BASELINE), None)
        settings = 0 if baseline is None else 1
        if baseline is not None and config.search.is_grid:
            settings = sum(1 for _ in config.settings_of(baseline))
        self._seeds, self._expected = config.seeds, settings * len(config.seeds)
        self._diverged, self._survived = set[str](), False
        for one in recorded:
            if one.ended:
                self._note(one.trial.arm, one.trial.seed, one.trial.trial_id, one.status)

    def observe(self, event: Event) -> None:
        if isinstance(event, TrialEnded):
            trial = event.trial.trial
            self._note(trial.arm, trial.seed, trial.trial_id, event.status)

    def why_stop(self) -> Stop | None:
        """None while a repeat of the baseline may still succeed, or has."""
        if self._survived or not self._expected or len(self._diverged) < self._expected:
            return None
        return "no baseline", (
            f"the baseline {BASELINE!r} diverged at every seed: there is nothing to compare with; stopping "
            "(a lower learning_rate is the usual remedy)"
        )

    def _note(self, arm: str, seed: int, trial_id: str, status: str) -> None:
        if arm == BASELINE and seed in self._seeds:
            if status == "diverged":
                self._diverged.add(trial_id)
            else:
                self._survived = True
