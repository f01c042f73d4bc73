"""Which trial starts next, and which of Ray Tune's trials runs which of ours."""

from ndabench.planning.outcomes import Outcome
from ndabench.planning.plan import Plan
from ndabench.planning.restarts import Restart, RestartHistory, Restarts
from ndabench.trials.config import TrialConfig


class TrialQueue:
    """Hands out the trials of a plan, at most `slots` at a time, and hands out lost trials again.

    Tune creates a new trial with a new id each time that one of our trials restarts, so callers name a trial
    by Tune's id.
    """

    def __init__(self, plan: Plan, restarts: Restarts, slots: int) -> None:
        self._plan, self._restarts, self.slots = plan, restarts, slots
        self._trials: dict[str, TrialConfig] = {}
        self._running: set[str] = set()

    def __getitem__(self, tune_id: str) -> TrialConfig:
        return self._trials[tune_id]

    def is_running(self, tune_id: str) -> bool:
        """Whether the trial was handed out and is not known to have ended."""
        return tune_id in self._running

    @property
    def done(self) -> bool:
        """Whether nothing is left to hand out, and no running trial can come back."""
        return self._plan.done and not self._running and not self._restarts

    def next(self, tune_id: str) -> tuple[TrialConfig, float] | None:
        """The trial to start now, and the seconds that it must wait first; None when nothing can start."""
        if len(self._running) >= self.slots:
            return None
        found = self._restarts.next() or self._planned()
        if found is None and not self._running:  # no other trial needs the resources while this one waits
            found = self._restarts.next(early=True)
        if found is not None:
            self._trials[tune_id] = found[0]
            self._running.add(tune_id)
        return found

    def _planned(self) -> tuple[TrialConfig, float] | None:
        trial = self._plan.next()
        return None if trial is None else (trial, 0.0)

    def progressed(self, tune_id: str, step: int, evaluated: tuple[int, int] = (0, 0)) -> None:
        self._restarts.progressed(self._trials[tune_id].trial_id, step, evaluated)

    def lost(self, tune_id: str) -> Restart | None:
        """Queues the trial again. Returns None, and tells the plan, where the trial is given up."""
        self._running.discard(tune_id)
        trial = self._trials[tune_id]
        restart = self._restarts.lost(trial)
        if restart is None:
            self._plan.tell(Outcome(trial, "failed"))
        return restart

    def ended(self, tune_id: str, outcome: Outcome) -> None:
        self._running.discard(tune_id)
        self._plan.tell(outcome)

    def history(self, tune_id: str) -> RestartHistory:
        return self._restarts.history(self._trials[tune_id].trial_id)

    @property
    def most_restarts(self) -> int:
        """The largest number of restarts in a row without progress."""
        return self._restarts.most
