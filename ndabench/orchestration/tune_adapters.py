"""What Ray Tune asks of a sweep, and tells it: each class passes it on to code that knows no Ray."""

import math
import time
from collections.abc import Callable
from typing import Any

import ray.tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from ndabench.orchestration.failure_reasons import reason_of_trial
from ndabench.orchestration.sweep_supervisor import SweepSupervisor
from ndabench.planning.limits import Stop
from ndabench.planning.pruning import StopsEarly
from ndabench.planning.sweep_state import Ending
from ndabench.planning.trial_queue import TrialQueue

SECONDS_BETWEEN_LOOKS = 5.0


class NotSaved:
    """Tune pickles what it is given in order to restore a sweep; ndabench resumes from its records."""

    def __reduce__(self) -> Any:
        return object, ()


class QueueSearcher(NotSaved, Searcher):
    """Tune asks it what to run next."""

    def __init__(self, supervisor: SweepSupervisor) -> None:
        super().__init__()
        self._queue, self._supervisor = supervisor.queue, supervisor

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """True: the queue keeps to it."""
        return True

    def suggest(self, trial_id: str) -> Any:
        found = self._queue.next(trial_id)
        if found is None:
            return Searcher.FINISHED if self._queue.done else None
        trial, seconds = found
        return {"trial": trial.to_json(), "wait": seconds}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """The `SweepCallback` hears next of a trial that ended with an error, with the reason."""
        if not error:
            self._supervisor.left_without_error(trial_id, (result or {}).get("objective"))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a plan is rebuilt from the records."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a plan is rebuilt from the records."""


class EarlyStoppingScheduler(NotSaved, FIFOScheduler):
    """Tune asks it after each report whether the trial stops early."""

    def __init__(self, stopping: StopsEarly, queue: TrialQueue) -> None:
        super().__init__()
        self._stopping, self._queue = stopping, queue

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict) -> str:
        stop = self._stopping.should_stop(self._queue[trial.trial_id], result)
        return self.STOP if stop else self.CONTINUE

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict) -> None:
        self._stopping.ended(self._queue[trial.trial_id], result)


class SweepCallback(NotSaved, ray.tune.Callback):
    """Tune tells it what happens to the trials."""

    def __init__(self, supervisor: SweepSupervisor) -> None:
        self._supervisor = supervisor
        self._next_look = 0.0

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        self._supervisor.state.tick()
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
        for trial in trials:  # Tune reports no error for a process that it could not reuse
            if trial.status == Trial.ERROR and self._supervisor.queue.is_running(trial.trial_id):
                self._supervisor.lost(trial.trial_id, reason_of_trial(trial))

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._supervisor.started(trial.trial_id)

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        if "step" in result:
            self._supervisor.progressed(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._supervisor.ended(trial.trial_id, (trial.last_result or {}).get("error") or "")
        for statistics in (trial.metric_analysis, trial.metric_n_steps):
            statistics.clear()  # Tune keeps its trials to the end, and 2 KB for each number in a result

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._supervisor.lost(trial.trial_id, reason_of_trial(trial))


class SweepStopper(NotSaved, ray.tune.Stopper):
    """Ends the sweep when its time budget is spent, when `why_stop` says so, or when its records cannot be
    written. `stopped` then tells how it ended, except for the last.

    Tune does not report the trials that it stops then, nor those whose processes are still starting.
    """

    def __init__(
        self,
        supervisor: SweepSupervisor,
        budget_seconds: float | None,
        why_stop: Callable[[], Stop | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor, self._why_stop, self._clock = supervisor, why_stop, clock
        self._deadline = math.inf if budget_seconds is None else clock() + budget_seconds
        self.stopped: Ending | None = None

    def __call__(self, trial_id: str, result: dict) -> bool:
        return False

    def stop_all(self) -> bool:
        if self.stopped is None and self._clock() >= self._deadline:
            self.stopped = "out of time"
        if self.stopped is None and (found := self._why_stop()) is not None:
            self.stopped, line = found
            self._supervisor.state.announce(line)
        return self.stopped is not None or self._supervisor.problem is not None
