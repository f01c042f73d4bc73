"""What the driver does when a trial progresses, ends or is lost: it records and restarts the trial and
updates the state.

It knows no Ray: `tune_adapters` tells it what happens to Ray Tune's trials, by Tune's ids.
"""

from collections.abc import Sequence
from typing import Literal

from ndabench.errors import UserError
from ndabench.planning.outcomes import outcome_of
from ndabench.planning.restarts import Restart
from ndabench.planning.sweep_state import Ending, SweepState
from ndabench.planning.trial_queue import TrialQueue
from ndabench.records import RecordStore
from ndabench.records.trial_recorder import close_row, fail_row
from ndabench.trials.checkpoints import has_checkpoint
from ndabench.trials.config import Provenance, TrialConfig, planned_row


class SweepSupervisor:
    """Follows each trial from start to end: restarts it or gives it up, completes its row, updates the state.

    If the records cannot be written, `problem` holds the error and the supervisor does nothing more; Tune
    would swallow an exception. `reasons` says why the driver killed a trial, by Tune's id.
    """

    def __init__(
        self,
        queue: TrialQueue,
        state: SweepState,
        store: RecordStore,
        provenance: Provenance,
        watched: Sequence[str],
    ) -> None:
        self.queue, self.state = queue, state
        self._store, self._provenance, self._watched = store, provenance, watched
        self.reasons: dict[str, str] = {}
        self.problem: UserError | None = None

    def started(self, tune_id: str) -> None:
        self.state.start(self.queue[tune_id])

    def progressed(self, tune_id: str, result: dict) -> None:
        """`result` is what the trial reported: `step`, `num_steps` and perhaps `objective`."""
        evaluated = (result.get("evaluations_done", 0), result.get("evaluation_units_done", 0))
        self.queue.progressed(tune_id, result["step"], evaluated)
        self.state.progress(self.queue[tune_id].trial_id, result)

    def left_without_error(self, tune_id: str, value: float | None) -> None:
        """Tells the plan that the trial ended or was stopped; `value` is its first watched metric, as it last
        reported it."""
        if self.problem is not None:
            return
        try:
            outcome = outcome_of(self.queue[tune_id], value, self._store, self._watched)
            self.queue.ended(tune_id, outcome)
        except UserError as problem:
            self.problem = problem

    def ended(self, tune_id: str, error: str) -> None:
        """Completes the records of a trial that ended or was stopped; `error` is what it reported, if any."""
        if self.problem is not None:
            return
        trial_id = self.queue[tune_id].trial_id
        status: Literal["failed", "pruned"] = "failed" if error else "pruned"
        error = error or "stopped early by the scheduler"
        try:
            close_row(self._store, trial_id, status, error)
            row = self._store.read_trial(trial_id)
            if row is not None and row.status == "pruned":  # its own process had no time to
                self._store.compact(trial_id)
            self._tell_end(trial_id, error)
        except UserError as problem:
            self.problem = problem

    def lost(self, tune_id: str, reason: str) -> None:
        """Restarts a trial whose process is gone or whose training raised, or gives it up.

        `reason` is Ray's account; a reason in `reasons` takes precedence.
        """
        trial = self.queue[tune_id]
        reason = self.reasons.pop(tune_id, "") or reason
        self.state.start(trial)  # it may be lost before it has begun
        restart = self.queue.lost(tune_id)
        if self.problem is not None:
            return
        try:
            if restart is not None:
                self.state.restart(trial.trial_id, f"{reason}; {self._what_next(trial, restart)}")
                return
            history = self.queue.history(tune_id).summary
            error = f"{reason}; given up {history}" if history else reason
            fail_row(self._store, planned_row(trial, self._provenance), error)
            self._tell_end(trial.trial_id, error)
        except UserError as problem:
            self.problem = problem

    def conclude(self, stopped: Ending | None) -> Ending:
        """Closes the rows of trials that still run when the sweep ends, and returns how it ended.

        `stopped` is how, if it was neither complete nor interrupted. It is complete if every planned trial
        has ended. A trial that was handed out has not ended before Tune says so: its process may have been
        starting when the sweep was stopped.
        """
        for trial_id in list(self.state.running):
            close_row(self._store, trial_id, "stopped", "interrupted; --resume continues from its checkpoint")
            self.state.interrupt(trial_id, recorded=self._store.read_trial(trial_id) is not None)
        if self.queue.done:
            return "complete"
        return stopped or "interrupted"

    def _tell_end(self, trial_id: str, error: str) -> None:
        """Tells the state how the trial ended, by its row; a trial without a row failed with `error`."""
        row = self._store.read_trial(trial_id)
        if row is None:
            self.state.end(trial_id, "failed", error=error)
        else:
            self.state.end(
                trial_id, row.status, error=row.error or "", notes=row.notes or "", seconds=row.seconds
            )

    def _what_next(self, trial: TrialConfig, restart: Restart) -> str:
        """`resuming from its checkpoint in 2 s, restart 2 of 2 without progress`"""
        resumes = has_checkpoint(self._store, trial.trial_id)
        how = "resuming from its checkpoint" if resumes else "restarting from scratch"
        counted = f"restart {restart.number} of {self.queue.most_restarts} without progress"
        return f"{how} in {restart.pause:g} s, {counted}"
