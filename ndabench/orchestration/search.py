"""Ray Tune, driven by our plan: the searcher hands out its trials, the callback shows and closes them."""

from typing import Any

import ray.tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from ray.tune.search import Searcher

from ndabench.diary import STOPPED_EARLY, close_row
from ndabench.errors import UserError
from ndabench.orchestration.plan import Outcome, Plan
from ndabench.orchestration.status_file import StatusFile
from ndabench.orchestration.view import View
from ndabench.records import RecordStore
from ndabench.sweepfile import SweepConfig
from ndabench.tracking.mirror import Mirror
from ndabench.trials import TrialConfig


class Assigned:
    """Which of our trials each of Tune's trials is."""

    def __init__(self) -> None:
        self._trials: dict[str, TrialConfig] = {}

    def add(self, tune_id: str, trial: TrialConfig) -> None:
        self._trials[tune_id] = trial

    def __getitem__(self, tune_id: str) -> TrialConfig:
        return self._trials[tune_id]


class NotSaved:
    """Tune pickles what it is given, to restore a sweep from it; ours are resumed from their records."""

    def __reduce__(self) -> Any:
        return object, ()


class PlanSearcher(NotSaved, Searcher):
    """Tune's way of asking a `Plan` what to run next."""

    def __init__(self, plan: Plan, watcher: "Watcher", store: RecordStore, watched: str | None) -> None:
        super().__init__()
        self._plan, self._watcher, self._store, self._watched = plan, watcher, store, watched
        self._assigned = watcher.assigned

    def suggest(self, trial_id: str) -> Any:
        trial = self._plan.next()
        if trial is None:
            return Searcher.FINISHED if self._plan.done else None
        self._assigned.add(trial_id, trial)
        return {"trial": trial.to_json()}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        if self._watcher.problem is not None:
            return
        try:
            self._plan.tell(self._outcome(self._assigned[trial_id], (result or {}).get("objective")))
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
    values = store.read_metrics(["trial_id", "value"], metric).to_pydict()  # by trial and step
    return dict(zip(values["trial_id"], values["value"], strict=True))


class ArmwiseAsha(NotSaved, FIFOScheduler):
    """Successive halving within each arm apart, so that none starves another; repeats always run on."""

    def __init__(self, config: SweepConfig, assigned: Assigned) -> None:
        super().__init__()
        assert config.scheduler is not None
        assert config.objective is not None
        self._assigned, self._search_seed = assigned, config.search.seed
        self._arms = {
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

    def _halving(self, trial: Any) -> AsyncHyperBandScheduler | None:
        ours = self._assigned[trial.trial_id]
        return self._arms[ours.arm] if ours.seed == self._search_seed else None

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        if (halving := self._halving(trial)) is not None:
            halving.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict) -> str:
        halving = self._halving(trial)
        if halving is None or result.get("objective_step") != result.get("step"):
            return self.CONTINUE
        return halving.on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict) -> None:
        halving = self._halving(trial)
        if halving is not None and "objective" in result:
            halving.on_trial_complete(tune_controller, trial, result)


class Watcher(NotSaved, ray.tune.Callback):
    """Shows each trial's progress, and closes what a trial that was stopped or killed left open.

    Where records are out of reach, `problem` says so, and no more is tried; Tune would bury an exception.
    """

    def __init__(
        self, view: View, status: StatusFile, mirror: Mirror, assigned: Assigned, store: RecordStore
    ) -> None:
        self._view, self._status, self._mirror = view, status, mirror
        self.assigned, self._store = assigned, store
        self.problem: UserError | None = None

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        self._view.remind()
        self._status.refresh()

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._view.started(self.assigned[trial.trial_id])

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        if "step" in result:
            trial_id = self.assigned[trial.trial_id].trial_id
            self._view.progressed(trial_id, result)
            self._mirror.changed(trial_id)

    def on_trial_recover(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._view.restarted(self.assigned[trial.trial_id].trial_id)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        error = (trial.last_result or {}).get("error")
        self._end(trial, "failed" if error else "stopped", error or STOPPED_EARLY)
        for statistics in (trial.metric_analysis, trial.metric_n_steps):
            statistics.clear()  # Tune keeps its trials to the end, and of each number in a result 2 KB

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        lines = str(trial.get_error() or "").strip().splitlines()
        self._end(trial, "failed", lines[-1][:500] if lines else "its process died")

    def close_all(self) -> int:
        """Closes the trials that were still running when the sweep was interrupted; returns how many."""
        running = self._view.running
        for trial_id in running:
            close_row(self._store, trial_id, "stopped", "interrupted; --resume goes on from its checkpoint")
            self._view.closed(trial_id, "stopped")
        return len(running)

    def _end(self, trial: Any, status: Any, error: str) -> None:
        trial_id = self.assigned[trial.trial_id].trial_id
        try:
            if self.problem is None:
                close_row(self._store, trial_id, status, error)
                self._view.ended(trial_id, self._store.read_trial(trial_id), error)
                self._mirror.changed(trial_id)
        except UserError as problem:
            self.problem = problem


class StopOnProblem(NotSaved, ray.tune.Stopper):
    """Ends the sweep when its records cannot be written."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def __call__(self, trial_id: str, result: dict) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._watcher.problem is not None
