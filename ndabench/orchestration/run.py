"""Runs a whole sweep: reads what is recorded, and runs the remaining trials with Ray Tune."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import ray
import ray.tune
from ray.tune import FailureConfig, RunConfig, TuneConfig, Tuner
from rich.console import Console

from ndabench.interruption import handlers_restored
from ndabench.orchestration.capacity import PlacementGroupCleaner
from ndabench.orchestration.cluster import live_nodes
from ndabench.orchestration.first_worker import FirstWorker
from ndabench.orchestration.heartbeat import HeartbeatMonitor, forget_heartbeats
from ndabench.orchestration.local_preparation import LocalPreparation
from ndabench.orchestration.preparation import prepare_on_a_worker
from ndabench.orchestration.status_file import StatusFile
from ndabench.orchestration.sweep_supervisor import SweepSupervisor
from ndabench.orchestration.terminal_view import TerminalView
from ndabench.orchestration.trainable import trainable
from ndabench.orchestration.tune_adapters import (
    EarlyStoppingScheduler,
    QueueSearcher,
    SweepCallback,
    SweepStopper,
)
from ndabench.ownership import RECORDED, sole_driver, take_ownership
from ndabench.planning.capacity import concurrency
from ndabench.planning.estimate import estimate
from ndabench.planning.limits import BaselineWatch, Spending, Stop
from ndabench.planning.outcomes import (
    Outcome,
    count_ended,
    count_statuses,
    earlier_outcomes,
    not_in_file,
    recorded_outcomes,
    recorded_values,
    reopen,
    watched_metric,
    watched_metrics,
)
from ndabench.planning.plan import make_plan
from ndabench.planning.pruning import early_stopping
from ndabench.planning.restarts import Restarts
from ndabench.planning.retention import surplus
from ndabench.planning.sweep_file import Keep, SweepConfig
from ndabench.planning.sweep_state import Ending, Event, SweepState, TrialEnded, TrialProgressed
from ndabench.planning.trial_queue import TrialQueue
from ndabench.records import RecordStore
from ndabench.scratch import scratch_folder
from ndabench.tracking.mirror import Mirror
from ndabench.tracking.registry import make_trackers
from ndabench.trials.checkpoints import checkpoint_paths
from ndabench.trials.config import Prepared, Provenance, git_commit


@dataclass(frozen=True)
class SweepResult:
    ending: Ending
    statuses: Mapping[str, int]
    """How many of the sweep's recorded trials have each status."""
    starting: int = 0
    """How many more had started and recorded nothing when the sweep ended."""

    @property
    def exit_code(self) -> int:
        """0 complete, out of its time budget or over a limit; 1 a trial failed, or the baseline diverged at
        every seed; 130 interrupted."""
        if self.ending == "complete":
            return 1 if self.statuses.get("failed") else 0
        return {"interrupted": 130, "no baseline": 1}.get(self.ending, 0)


def check_sweep(
    config: SweepConfig,
    begun: LocalPreparation | None,
    *,
    local: bool,
    check: bool = True,
    timed: bool = False,
    console: Console,
) -> Prepared:
    """Finds before any training what would stop a trial; `UserError`. Ray must be connected.

    Waits for what has `begun`, or else prepares on a worker. To `check` the sweep, each combination of
    networks, batch size and augmentations takes two training steps; `timed` says what the sweep will take.
    """
    earlier_outcomes(config)  # finds a wrong `warm_start`
    first = FirstWorker() if local else None
    if begun is not None:
        prepared = begun.result()
    else:
        if first is not None:
            first.require()
        line = f"importing PyTorch, reading {config.data.title}, preparing the evaluations …"
        console.print(line, highlight=False, markup=False)
        prepared = prepare_on_a_worker(
            config,
            check=check,
            timed=timed,
            say=lambda line: console.print(line, highlight=False, soft_wrap=True, markup=False),
        )
    if first is not None:
        first.require()
    for note in (prepared.counts, *prepared.notes):
        console.print(note, highlight=False, soft_wrap=True, markup=False)
    if prepared.checked:
        noun = "combination" if prepared.checked == 1 else "combinations"
        console.print(
            f"checked: two steps with {prepared.checked} {noun} of settings", highlight=False, markup=False
        )
    if prepared.costs:
        for line in estimate(config, prepared.costs, concurrency(live_nodes(), config.resources)):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
    return prepared


def run_sweep(
    config: SweepConfig,
    store: RecordStore,
    status: StatusFile,
    begun: LocalPreparation | None,
    *,
    resume: bool,
    local: bool,
    check: bool,
    console: Console,
) -> SweepResult:
    """Runs the remaining trials of a sweep. Ray must be connected; `local` says whether this driver started
    it.

    `begun` is as for `check_sweep`; `check` says whether two training steps are tried first. Raises
    `UserError` for a mistake, before anything is written.
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
    prepared = check_sweep(config, begun, local=local, check=check, console=console)
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
    for line in not_in_file(config, recorded):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    state = SweepState(config.trial_count(), count_ended(recorded))
    console.print(
        f"{state.total} trials, {state.ended} of them done, {slots} at a time, "
        f"each {config.resources}; records in {store.root}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    plan = make_plan(config, recorded, _warm_start(config, console))
    queue = TrialQueue(plan, Restarts(config.resources.max_restarts), slots)
    provenance = Provenance(config.name, git_commit())
    supervisor = SweepSupervisor(queue, state, store, provenance, watched_metrics(config))
    with TerminalView(console, state, watched_metric(config)) as view:
        state.subscribe("the terminal", view.observe)
        state.subscribe("the trackers", lambda event: _tell_trackers(event, mirror))
        spending, baseline = _spending(config, store), BaselineWatch(config, recorded)
        state.subscribe("the limits", spending.observe)
        state.subscribe("the baseline's watch", baseline.observe)
        if config.keep is not None:
            state.subscribe("the cleaning", partial(_clean, store, config.keep))
        status.follow(state)
        try:
            stopped = _tune(config, store, provenance, supervisor, [spending.why_stop, baseline.why_stop])
        except KeyboardInterrupt:  # Tune itself stops at one, but not before it runs, nor at a second
            stopped = None
        if supervisor.problem is not None:
            raise supervisor.problem
        ending = supervisor.conclude(stopped)
    if config.keep is not None:
        store.delete_all(surplus(store, config, config.keep.checkpoints))
    result = SweepResult(ending, count_statuses(store), state.starting)
    state.end_sweep(result.ending, result.exit_code)
    return result


def _warm_start(config: SweepConfig, console: Console) -> list[Outcome]:
    """What an earlier sweep tells the samplers; says how much of it each arm has."""
    earlier = earlier_outcomes(config)
    if earlier:
        counts = Counter(one.trial.arm for one in earlier)
        each = ", ".join(f"{arm.name} {counts[arm.name]}" for arm in config.arms if config.dimensions_of(arm))
        line = f"warm start from {config.search.warm_start}: trials of {each}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    return earlier


def _spending(config: SweepConfig, store: RecordStore) -> Spending:
    rows = store.read_trials()
    columns = (rows[name].to_pylist() for name in ("trial_id", "seconds"))
    seconds = {trial_id: spent or 0.0 for trial_id, spent in zip(*columns, strict=True)}
    gpus = config.resources.workers * config.resources.gpus_per_worker
    return Spending(config.limits, gpus, seconds, partial(_size, store))


def _size(store: RecordStore) -> int:
    """The bytes of all that trials have recorded."""
    return sum(size for part in RECORDED for size in store.sizes(part).values())


def _clean(store: RecordStore, keep: Keep, event: Event) -> None:
    """Deletes what need not wait for the end: all checkpoints of a trial that has ended, or all but one."""
    if isinstance(event, TrialEnded) and event.status in ("finished", "pruned", "diverged"):
        found = checkpoint_paths(store, event.trial.trial.trial_id)
        store.delete_all(found if keep.checkpoints == "none" else found[:-1])


def _tell_trackers(event: Event, mirror: Mirror) -> None:
    """A trial has recorded something: the trackers read it from the records, in a thread."""
    if isinstance(event, TrialProgressed | TrialEnded):
        mirror.changed(event.trial.trial.trial_id)


def _tune(
    config: SweepConfig,
    store: RecordStore,
    provenance: Provenance,
    supervisor: SweepSupervisor,
    reasons: Sequence[Callable[[], Stop | None]],
) -> Ending | None:
    """Runs Ray Tune over the trials of the queue; returns how it ended, if not because all were done.

    `reasons` are asked, again and again, whether to stop.
    """
    resources, queue, say = config.resources, supervisor.queue, supervisor.state.announce
    scheduler = None
    if config.scheduler is not None:
        stopping = early_stopping(config)
        stopping.replay(recorded_values(config, store))
        scheduler = EarlyStoppingScheduler(stopping, queue)
    stopper = SweepStopper(
        supervisor, config.time_budget_seconds, lambda: next(filter(None, (why() for why in reasons)), None)
    )
    with scratch_folder() as scratch:
        tuner = Tuner(
            trainable(store.root, asdict(provenance), resources, watched_metric(config), config.kept_samples),
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
    return stopper.stopped
