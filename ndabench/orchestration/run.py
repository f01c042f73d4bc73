"""Runs a whole sweep: reads what is recorded, and runs the remaining trials with Ray Tune."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import ray
import ray.tune
from ray.tune import FailureConfig, RunConfig, TuneConfig, Tuner
from rich.console import Console

from ndabench.interruption import handlers_restored
from ndabench.orchestration.capacity import PlacementGroupCleaner
from ndabench.orchestration.cluster import live_nodes
from ndabench.orchestration.heartbeat import HeartbeatMonitor, forget_heartbeats
from ndabench.orchestration.preparation import prepare_sweep
from ndabench.orchestration.status_file import StatusFile
from ndabench.orchestration.sweep_supervisor import SweepSupervisor
from ndabench.orchestration.terminal_view import TerminalView
from ndabench.orchestration.trainable import trainable
from ndabench.orchestration.tune_adapters import (
    HalvingScheduler,
    QueueSearcher,
    SweepCallback,
    SweepStopper,
)
from ndabench.ownership import sole_driver, take_ownership
from ndabench.planning.capacity import concurrency
from ndabench.planning.outcomes import (
    count_ended,
    count_statuses,
    recorded_outcomes,
    recorded_values,
    reopen,
    watched_metric,
)
from ndabench.planning.plan import make_plan
from ndabench.planning.restarts import Restarts
from ndabench.planning.successive_halving import ArmwiseHalving
from ndabench.planning.sweep_file import SweepConfig
from ndabench.planning.sweep_state import Ending, Event, SweepState, TrialEnded, TrialProgressed
from ndabench.planning.trial_queue import TrialQueue
from ndabench.records import RecordStore
from ndabench.scratch import scratch_folder
from ndabench.tracking.mirror import Mirror
from ndabench.tracking.registry import make_trackers
from ndabench.trials.config import Prepared, Provenance, git_commit


@dataclass(frozen=True)
class SweepResult:
    ending: Ending
    statuses: Mapping[str, int]
    """How many of the sweep's recorded trials have each status."""

    @property
    def exit_code(self) -> int:
        """0 complete or out of its time budget, 1 a trial failed, 130 interrupted."""
        if self.ending == "complete":
            return 1 if self.statuses.get("failed") else 0
        return 130 if self.ending == "interrupted" else 0


def check_sweep(config: SweepConfig, *, local: bool, check: bool = True, console: Console) -> Prepared:
    """Finds before any training what would stop a trial; `UserError`. Ray must be connected.

    To `check` the sweep, each combination of networks, batch size and augmentations takes two training steps.
    """
    console.print(f"preparing {config.data.name} and the evaluations …", highlight=False, markup=False)
    prepared = prepare_sweep(
        config,
        local=local,
        check=check,
        say=lambda line: console.print(line, highlight=False, soft_wrap=True, markup=False),
    )
    for note in prepared.notes:
        console.print(note, highlight=False, soft_wrap=True, markup=False)
    if prepared.checked:
        noun = "combination" if prepared.checked == 1 else "combinations"
        console.print(
            f"checked: two steps with {prepared.checked} {noun} of settings", highlight=False, markup=False
        )
    return prepared


def run_sweep(
    config: SweepConfig,
    store: RecordStore,
    status: StatusFile,
    *,
    resume: bool,
    local: bool,
    check: bool,
    console: Console,
) -> SweepResult:
    """Runs the remaining trials of a sweep. Ray must be connected; `local` says whether this driver started
    it.

    `check` says whether two training steps are tried first. Raises `UserError` for a mistake, before anything
    is written.
    """
    slots = concurrency(live_nodes(), config.resources)
    if (wanted := config.resources.max_concurrent) is not None and wanted > slots:
        line = f"resources.max_concurrent is {wanted}; {slots} fit at a time"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    mirror = Mirror(store, make_trackers(config.track, config.name, store))
    if ray.cluster_resources().get("GPU") and not config.resources.gpus_per_worker:
        console.print(
            "resources.gpus_per_worker is 0: the GPUs here are not used", highlight=False, markup=False
        )
    prepared = check_sweep(config, local=local, check=check, console=console)
    with sole_driver(store), mirror:
        take_ownership(
            store, config, resume=resume, data_hash=prepared.data_hash, negative_data=prepared.negative_data
        )
        return _run_owned(config, store, status, mirror, slots, console)


def _run_owned(
    config: SweepConfig,
    store: RecordStore,
    status: StatusFile,
    mirror: Mirror,
    slots: int,
    console: Console,
) -> SweepResult:
    for trial_id in store.without_metrics(store.read_trials()):
        line = f"{reopen(store, trial_id).label}: its metrics file is gone from the records; it runs again"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    recorded = recorded_outcomes(config, store)
    state = SweepState(config.trial_count(), count_ended(recorded))
    console.print(
        f"{state.total} trials, {state.ended} of them done, {slots} at a time, "
        f"each {config.resources}; records in {store.root}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    plan, watched = make_plan(config, recorded), watched_metric(config)
    queue = TrialQueue(plan, Restarts(config.resources.max_restarts), slots)
    provenance = Provenance(config.name, git_commit())
    supervisor = SweepSupervisor(queue, state, store, provenance, watched)
    with TerminalView(console, state, watched) as view:
        state.subscribe("the terminal", view.observe)
        state.subscribe("the trackers", lambda event: _tell_trackers(event, mirror))
        status.follow(state)
        try:
            out_of_time = _tune(config, store, provenance, supervisor)
        except KeyboardInterrupt:  # Tune itself stops at one, but not before it runs, nor at a second
            out_of_time = False
        if supervisor.problem is not None:
            raise supervisor.problem
        ending = supervisor.conclude(out_of_time=out_of_time)
    result = SweepResult(ending, count_statuses(store))
    state.end_sweep(result.ending, result.exit_code)
    return result


def _tell_trackers(event: Event, mirror: Mirror) -> None:
    """A trial has recorded something: the trackers read it from the records, in a thread."""
    if isinstance(event, TrialProgressed | TrialEnded):
        mirror.changed(event.trial.trial.trial_id)


def _tune(
    config: SweepConfig, store: RecordStore, provenance: Provenance, supervisor: SweepSupervisor
) -> bool:
    """Runs Ray Tune over the trials of the queue; returns whether the time budget ended it."""
    resources, queue, say = config.resources, supervisor.queue, supervisor.state.announce
    scheduler = None
    if config.scheduler is not None:
        halving = ArmwiseHalving(config)
        halving.replay(recorded_values(config, store))
        scheduler = HalvingScheduler(halving, queue)
    stopper = SweepStopper(supervisor, config.time_budget_seconds)
    with scratch_folder() as scratch:
        tuner = Tuner(
            trainable(store.root, asdict(provenance), resources, watched_metric(config)),
            tune_config=TuneConfig(
                search_alg=QueueSearcher(supervisor),
                scheduler=scheduler,
                num_samples=-1,  # the searcher says when there are no more
                max_concurrent_trials=queue.slots,
                # A nested trial that a scheduler stops is stopped with its actor.
                reuse_actors=resources.workers == 1 or scheduler is None,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=RunConfig(
                # Tune's own files are scratch: a sweep is resumed from its records.
                storage_path=str(scratch),
                verbose=0,
                stop=stopper,
                callbacks=[
                    SweepCallback(supervisor),
                    HeartbeatMonitor(resources.max_silence_seconds, supervisor.reasons),
                    PlacementGroupCleaner(resources, say),
                ],
                # The queue hands out lost trials again; Tune's restarts know no pause and no progress.
                failure_config=FailureConfig(max_failures=0),
            ),
        )
        with handlers_restored():
            tuner.fit()
        forget_heartbeats()
    return stopper.out_of_time
