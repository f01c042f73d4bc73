"""Which trial starts next, and which of Tune's trials is which of ours. Knows no Ray."""

from ndabench.orchestration.plan import Outcome, Plan
from ndabench.orchestration.restarts import History, Restart, Restarts
from ndabench.trials import TrialConfig


class Dispatch:
    """Hands out the trials of a plan, `slots` at a time, and again those that were lost.

    Tune sees a new trial of its own, with a new id, each time that one of ours is begun again.
    """

    def __init__(self, plan: Plan, restarts: Restarts, slots: int) -> None:
        self._plan, self._restarts, self.slots = plan, restarts, slots
        self._trials: dict[str, TrialConfig] = {}
        self._running: set[str] = set()

    def __getitem__(self, tune_id: str) -> TrialConfig:
        return self._trials[tune_id]

    def is_running(self, tune_id: str) -> bool:
        """Whether it was handed out and is not known to have ended."""
        return tune_id in self._running

    @property
    def done(self) -> bool:
        """Whether nothing is left to hand out, and nothing can come back."""
        return self._plan.done and not self._running and not self._restarts

    def next(self, tune_id: str) -> tuple[TrialConfig, float] | None:
        """What to start now, and for how many seconds it must wait first; None when nothing can start."""
        if len(self._running) >= self.slots:
            return None
        found = self._restarts.next() or self._planned()
        if found is None and not self._running:  # nobody else has a use for the room in which it waits
            found = self._restarts.next(early=True)
        if found is not None:
            self._trials[tune_id] = found[0]
            self._running.add(tune_id)
        return found

    def _planned(self) -> tuple[TrialConfig, float] | None:
        trial = self._plan.next()
        return None if trial is None else (trial, 0.0)

    def progressed(self, tune_id: str, step: int) -> None:
        self._restarts.progressed(self._trials[tune_id].trial_id, step)

    def lost(self, tune_id: str) -> Restart | None:
        """None where the trial is given up, which the plan then knows; else it is handed out once more."""
        self._running.discard(tune_id)
        trial = self._trials[tune_id]
        restart = self._restarts.lost(trial)
        if restart is None:
            self._plan.tell(Outcome(trial, "failed"))
        return restart

    def ended(self, tune_id: str, outcome: Outcome) -> None:
        self._running.discard(tune_id)
        self._plan.tell(outcome)

    def history(self, tune_id: str) -> History:
        return self._restarts.history(self._trials[tune_id].trial_id)

    @property
    def most_restarts(self) -> int:
        """In a row without progress."""
        return self._restarts.most
