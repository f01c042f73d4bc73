"""A whole sweep: what is recorded already, what is left, and Ray Tune over it."""

import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import ray
import ray.tune
import torch
from ray.tune import FailureConfig, RunConfig, TuneConfig, Tuner
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from rich.console import Console

from ndabench.claim import claim, sole_driver
from ndabench.errors import UserError
from ndabench.orchestration.cluster import concurrency
from ndabench.orchestration.dispatch import Dispatch
from ndabench.orchestration.plan import Outcome, make_plan
from ndabench.orchestration.pulse import Warden, forget
from ndabench.orchestration.restarts import Restarts
from ndabench.orchestration.room import RoomKeeper, Say, reserved
from ndabench.orchestration.search import (
    ArmwiseAsha,
    PlanSearcher,
    StopOnProblem,
    Watcher,
    recorded_values,
)
from ndabench.orchestration.standing import Standing
from ndabench.orchestration.status_file import StatusFile
from ndabench.orchestration.trial import trainable
from ndabench.orchestration.view import View
from ndabench.records import RecordStore
from ndabench.sweepfile import SweepConfig
from ndabench.tracking.factory import make_trackers
from ndabench.tracking.mirror import Mirror
from ndabench.trials import Provenance, TrialConfig, git_commit, prepare

Ending = Literal["complete", "interrupted", "out of time"]


@dataclass(frozen=True)
class SweepResult:
    ending: Ending
    statuses: Mapping[str, int]
    """How many of the sweep's trials stand at each status."""

    @property
    def exit_code(self) -> int:
        """0 complete or out of its time budget, 1 a trial failed, 130 interrupted."""
        if self.ending == "complete":
            return 1 if self.statuses.get("failed") else 0
        return 130 if self.ending == "interrupted" else 0


def run_sweep(
    config: SweepConfig,
    store: RecordStore,
    status: StatusFile,
    *,
    resume: bool,
    local: bool,
    console: Console,
) -> SweepResult:
    """Runs what is left of a sweep. Ray must be connected; `UserError` comes before anything is written."""
    slots = concurrency(config.resources)
    mirror = Mirror(store, make_trackers(config.track, config.name, store))
    if ray.cluster_resources().get("GPU") and not config.resources.gpus_per_worker:
        console.print("resources.gpus_per_worker is 0: the GPUs here are not used", highlight=False)
    console.print(f"preparing {config.data.name} and what the evaluations need …", highlight=False)
    _prepare(config, local, lambda line: console.print(line, highlight=False, soft_wrap=True))
    with sole_driver(store), mirror:
        claim(store, config, resume=resume)
        return _run_claimed(config, store, status, mirror, slots, console)


def _run_claimed(
    config: SweepConfig,
    store: RecordStore,
    status: StatusFile,
    mirror: Mirror,
    slots: int,
    console: Console,
) -> SweepResult:
    recorded = recorded_outcomes(config, store)
    ended = Counter(one.status for one in recorded if one.ended)
    standing = Standing(config.trial_count(), ended)
    console.print(
        f"{standing.total} trials, {standing.ended} of them done, {slots} at a time, "
        f"each {config.resources}; records in {store.root}",
        highlight=False,
        soft_wrap=True,
    )
    status.begin(standing)
    plan = make_plan(config, recorded)
    dispatch = Dispatch(plan, Restarts(config.resources.max_restarts), slots)
    provenance = Provenance(config.name, git_commit())
    watched = config.objective.watched if config.objective is not None else None
    with View(console, standing, watched) as view:
        watcher = Watcher(view, status, mirror, dispatch, store, provenance)
        elapsed = _tune(config, store, provenance, dispatch, watcher, view.say)
        if watcher.problem is not None:
            raise watcher.problem
        unfinished = watcher.close_all()
    out_of_time = config.time_budget_seconds is not None and elapsed >= config.time_budget_seconds
    whole = plan.done and not unfinished
    ending: Ending = "complete" if whole else "out of time" if out_of_time else "interrupted"
    return SweepResult(ending, Counter(store.read_trials()["status"].to_pylist()))


def _tune(
    config: SweepConfig,
    store: RecordStore,
    provenance: Provenance,
    dispatch: Dispatch,
    watcher: Watcher,
    say: Say,
) -> float:
    """Runs Ray Tune over what the dispatch hands out, and returns the seconds that it took."""
    resources = config.resources
    watched = config.objective.watched if config.objective is not None else None
    warden = Warden(resources.max_silence_seconds, watcher.reasons)
    with tempfile.TemporaryDirectory(prefix="ndabench-tune-") as scratch:
        tuner = Tuner(
            trainable(config, store.root, provenance),
            tune_config=TuneConfig(
                search_alg=PlanSearcher(dispatch, watcher, store, watched),
                scheduler=ArmwiseAsha(config, dispatch) if config.scheduler is not None else None,
                num_samples=-1,  # the searcher says when there is no more
                max_concurrent_trials=dispatch.slots,
                # A nested trial that a scheduler stops is stopped with its actor.
                reuse_actors=resources.workers == 1 or config.scheduler is None,
                time_budget_s=config.time_budget_seconds,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=RunConfig(
                # Tune's own bookkeeping is scratch: a sweep is resumed from its records.
                storage_path=scratch,
                verbose=0,
                stop=StopOnProblem(watcher),
                callbacks=[watcher, warden, RoomKeeper(resources, say)],
                # The dispatch hands out again what was lost; Tune's restarts know no pause and no progress.
                failure_config=FailureConfig(max_failures=0),
            ),
        )
        started = time.monotonic()
        tuner.fit()
        forget()
        return time.monotonic() - started


def recorded_outcomes(config: SweepConfig, store: RecordStore) -> list[Outcome]:
    """How every recorded trial of the sweep stands, with the objective at its last step."""
    values = recorded_values(store, config.objective.watched if config.objective is not None else None)
    return [
        Outcome(
            TrialConfig.model_validate_json(row["config_json"]),
            row["status"],
            values.get(row["trial_id"]),
        )
        for row in store.read_trials().to_pylist()
    ]


def _prepare(config: SweepConfig, local: bool, say: Say) -> None:
    """Finds every mistake that can be found before training, where the trials will run."""
    seed = config.seeds[0]
    trials = [config.trial(arm, corner, seed) for arm in config.arms for corner in config.corners(arm)]
    resources = config.resources
    if local and not resources.gpus_per_worker:
        prepare(trials, torch.device("cpu"), resources.workers)
        return
    with reserved(resources, say) as group:
        remote = ray.remote(_prepare_remotely).options(
            num_cpus=resources.cpus_per_worker,
            num_gpus=resources.gpus_per_worker,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0),
        )
        problem = ray.get(remote.remote([trial.to_json() for trial in trials], resources.workers))
    if problem is not None:
        raise UserError(problem)


def _prepare_remotely(trials: list[str], num_workers: int) -> str | None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        prepare([TrialConfig.model_validate_json(trial) for trial in trials], device, num_workers)
    except UserError as error:
        return str(error)
    return None
