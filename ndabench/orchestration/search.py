"""Ray Tune, driven by our plan: the searcher hands out its trials, the callback shows and closes them."""

import time
from typing import Any

import ray.tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from ray.tune.search import Searcher

from ndabench.checkpoints import has_checkpoint
from ndabench.errors import UserError
from ndabench.orchestration import why_lost
from ndabench.orchestration.dispatch import Dispatch
from ndabench.orchestration.plan import Outcome
from ndabench.orchestration.restarts import Restart
from ndabench.orchestration.status_file import StatusFile
from ndabench.orchestration.view import View
from ndabench.records import RecordStore
from ndabench.records.trial_recorder import close_row, fail_row
from ndabench.sweepfile import SweepConfig
from ndabench.tracking.mirror import Mirror
from ndabench.trials import Provenance, TrialConfig, planned_row

SECONDS_TO_LOOK = 5.0


class NotSaved:
    """Tune pickles what it is given, to restore a sweep from it; ours are resumed from their records."""

    def __reduce__(self) -> Any:
        return object, ()


class PlanSearcher(NotSaved, Searcher):
    """Tune's way of asking a `Dispatch` what to run next."""

    def __init__(
        self, dispatch: Dispatch, watcher: "Watcher", store: RecordStore, watched: str | None
    ) -> None:
        super().__init__()
        self._dispatch, self._watcher, self._store, self._watched = dispatch, watcher, store, watched

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """True: the dispatch keeps to it."""
        return True

    def suggest(self, trial_id: str) -> Any:
        found = self._dispatch.next(trial_id)
        if found is None:
            return Searcher.FINISHED if self._dispatch.done else None
        trial, seconds = found
        return {"trial": trial.to_json(), "wait": seconds}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Of a trial that ended with an error the `Watcher` hears next, and of what it died."""
        if error or self._watcher.problem is not None:
            return
        try:
            outcome = self._outcome(self._dispatch[trial_id], (result or {}).get("objective"))
            self._dispatch.ended(trial_id, outcome)
        except UserError as problem:
            self._watcher.problem = problem

    def _outcome(self, trial: TrialConfig, value: float | None) -> Outcome:
        row = self._store.read_trial(trial.trial_id)
        status = "failed" if row is None else "stopped" if row.status == "running" else row.status
        if value is None and self._watched and status == "finished":  # measured before it was last resumed
            for _, values in self._store.read_steps(trial.trial_id, after=-1):
                value = values.get(self._watched, value)
        return Outcome(trial, status, value)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a plan is rebuilt from the records."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a plan is rebuilt from the records."""


def recorded_values(store: RecordStore, metric: str | None) -> dict[str, float]:
    """The last recorded value of `metric` in each trial; empty where there is no metric to look at."""
    if metric is None:
        return {}
    values = store.read_metrics(["trial_id", "value"], name=metric).to_pydict()  # by trial and step
    return dict(zip(values["trial_id"], values["value"], strict=True))


class ArmwiseAsha(NotSaved, FIFOScheduler):
    """Successive halving within each arm apart, so that none starves another; repeats always run on."""

    def __init__(self, config: SweepConfig, dispatch: Dispatch) -> None:
        super().__init__()
        assert config.scheduler is not None
        assert config.objective is not None
        self._dispatch, self._search_seed = dispatch, config.search.seed
        self._arms: dict[str, Any] = {
            arm.name: AsyncHyperBandScheduler(
                time_attr="step",
                metric="objective",
                mode=config.mode,
                max_t=max(1, config.task_of(arm).num_steps),
                grace_period=config.scheduler.grace_steps,
                reduction_factor=config.scheduler.reduction_factor,
                stop_last_trials=False,  # a trial at its last step ends by itself, with its records whole
            )
            for arm in config.arms
        }

    def _halving(self, ours: TrialConfig) -> Any:
        return self._arms[ours.arm] if ours.seed == self._search_seed else None

    # Halving is told our trials in place of Tune's, of which it knows the id alone: one that was restarted
    # has passed its milestones already.

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        ours = self._dispatch[trial.trial_id]
        if (halving := self._halving(ours)) is not None:
            halving.on_trial_add(tune_controller, ours)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict) -> str:
        ours = self._dispatch[trial.trial_id]
        halving = self._halving(ours)
        if halving is None or result.get("objective_step") != result.get("step"):
            return self.CONTINUE
        return halving.on_trial_result(tune_controller, ours, result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict) -> None:
        ours = self._dispatch[trial.trial_id]
        halving = self._halving(ours)
        if halving is not None and "objective" in result:
            halving.on_trial_complete(tune_controller, ours, result)


class Watcher(NotSaved, ray.tune.Callback):
    """Shows each trial's progress, and closes what a trial that was stopped or killed left open.

    Where records are out of reach, `problem` says so, and no more is tried; Tune would bury an exception.
    `reasons` tells of Tune's trials that were killed by us why they were.
    """

    def __init__(
        self,
        view: View,
        status: StatusFile,
        mirror: Mirror,
        dispatch: Dispatch,
        store: RecordStore,
        provenance: Provenance,
    ) -> None:
        self._view, self._status, self._mirror = view, status, mirror
        self._dispatch, self._store, self._provenance = dispatch, store, provenance
        self._next_look = 0.0
        self.reasons: dict[str, str] = {}
        self.problem: UserError | None = None

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        self._view.remind()
        self._status.refresh()
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + SECONDS_TO_LOOK
        for trial in trials:  # Tune tells nobody of a process that it wanted to reuse and could not
            if trial.status == Trial.ERROR and self._dispatch.is_running(trial.trial_id):
                self._lost(trial)

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._view.started(self._dispatch[trial.trial_id])

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        if "step" in result:
            trial_id = self._dispatch[trial.trial_id].trial_id
            self._dispatch.progressed(trial.trial_id, result["step"])
            self._view.progressed(trial_id, result)
            self._mirror.changed(trial_id)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        error = (trial.last_result or {}).get("error")
        self._end(trial, "failed" if error else "pruned", error or "stopped early by the scheduler")
        for statistics in (trial.metric_analysis, trial.metric_n_steps):
            statistics.clear()  # Tune keeps its trials to the end, and of each number in a result 2 KB

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._lost(trial)

    def close_all(self) -> int:
        """Closes the trials that were still running when the sweep was interrupted; returns how many."""
        running = self._view.running
        for trial_id in running:
            close_row(self._store, trial_id, "stopped", "interrupted; --resume goes on from its checkpoint")
            self._view.closed(trial_id, "stopped")
        return len(running)

    def _end(self, trial: Any, status: Any, error: str) -> None:
        trial_id = self._dispatch[trial.trial_id].trial_id
        try:
            if self.problem is None:
                close_row(self._store, trial_id, status, error)
                row = self._store.read_trial(trial_id)
                if row is not None and row.status == "pruned":  # its own process had no time to
                    self._store.compact(trial_id)
                self._view.ended(trial_id, row, error)
                self._mirror.changed(trial_id)
        except UserError as problem:
            self.problem = problem

    def _lost(self, trial: Any) -> None:
        """A trial's process is gone, or its training raised: it is begun again, or given up."""
        ours = self._dispatch[trial.trial_id]
        reason = self.reasons.pop(trial.trial_id, "") or why_lost.of_trial(trial)
        self._view.started(ours)  # it may be lost before it has begun
        restart = self._dispatch.lost(trial.trial_id)
        try:
            if self.problem is not None:
                return
            if restart is not None:
                self._view.lost(ours.trial_id, f"{reason}; {self._what_next(ours, restart)}")
                return
            told = self._dispatch.history(trial.trial_id).told
            error = f"{reason}; given up {told}" if told else reason
            fail_row(self._store, planned_row(ours, self._provenance), error)
            self._view.ended(ours.trial_id, self._store.read_trial(ours.trial_id), error)
            self._mirror.changed(ours.trial_id)
        except UserError as problem:
            self.problem = problem

    def _what_next(self, trial: TrialConfig, restart: Restart) -> str:
        """`going on from its checkpoint in 2 s, restart 2 of 2 without progress`"""
        going_on = has_checkpoint(self._store, trial.trial_id)
        how = "going on from its checkpoint" if going_on else "beginning again"
        counted = f"restart {restart.number} of {self._dispatch.most_restarts} without progress"
        return f"{how} in {restart.pause:g} s, {counted}"


class StopOnProblem(NotSaved, ray.tune.Stopper):
    """Ends the sweep when its records cannot be written."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def __call__(self, trial_id: str, result: dict) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._watcher.problem is not None
