"""One trial under Ray: directly in its Tune function with one worker, through Ray Train with several.

The loop is the same, `ndabench.trials.run_trial`; only the way that progress travels up differs.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import ray.train
import ray.train.torch
import ray.tune
import torch
from ray.exceptions import RayActorError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.tune.integration.ray_train import TuneReportCallback

from ndabench.claim import require_claimed
from ndabench.distributed import Workers
from ndabench.orchestration.mends import Trainer
from ndabench.orchestration.pulse import ControllersPulse, Pulse
from ndabench.orchestration.room import size_now
from ndabench.orchestration.why_lost import fate, is_mistake, of_workers
from ndabench.records import RecordStore
from ndabench.records.trial_recorder import one_line
from ndabench.resources import Resources
from ndabench.sweepfile import SweepConfig
from ndabench.tasks.task import DivergedError
from ndabench.trials import Provenance, TrialConfig, run_trial

Report = Callable[[dict[str, Any]], None]


class TrialLostError(Exception):
    """A trial's own account of why it cannot go on, which the driver has been told as its last result."""


def trainable(config: SweepConfig, root: str, provenance: Provenance) -> Any:
    """The Tune function of a sweep with the resources that it asks for; its configuration holds one trial."""
    resources = config.resources
    watched = config.objective.watched if config.objective is not None else None
    settings = {"root": root, "provenance": provenance, "resources": resources, "watched": watched}
    alone = resources.workers == 1

    def run(parameters: dict[str, Any]) -> None:
        loop = {**settings, "trial": parameters["trial"]}
        with Pulse(ray.tune.get_context().get_trial_id(), resources.max_silence_seconds):
            time.sleep(parameters["wait"])
            (_run_alone if alone else _run_nested)(loop)

    return ray.tune.with_resources(run, resources.worker_bundle if alone else resources.driver_bundle)


def _run_alone(loop: dict[str, Any]) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        _train(loop, Workers(device=device), ray.tune.report)
    except DivergedError:
        return
    except Exception as error:
        _fail(one_line(error), is_mistake(error))


def _run_nested(loop: dict[str, Any]) -> None:
    resources: Resources = size_now(loop["resources"])
    silence = resources.max_silence_seconds
    with tempfile.TemporaryDirectory(prefix="ndabench-train-") as scratch:
        try:
            _trainer(loop, resources, scratch).fit()
        except ray.train.TrainingFailedError as error:
            failures = getattr(error, "worker_failures", {0: getattr(error, "controller_failure", error)})
            mistake = next(filter(is_mistake, failures.values()), None)
            _fail(one_line(mistake) if mistake else of_workers(failures, silence), mistake is not None)
        except RayActorError as error:
            _fail(f"the process that looks after its workers {fate(str(error))}", final=False)


def _trainer(loop: dict[str, Any], resources: Resources, scratch: str) -> Trainer:
    silence = resources.max_silence_seconds
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = f"{silence:g}"
    callbacks = [TuneReportCallback(), ControllersPulse(ray.tune.get_context().get_trial_id(), silence)]
    # The sweep begins a lost trial again. Train must not: a scheduler may just have stopped the trial, and
    # Train would take resources that nobody frees.
    no_retries: dict[str, Any] = {"controller_failure_limit": 0, "max_preemption_failures": 0}
    return Trainer(
        _worker,
        train_loop_config=loop,
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=bool(resources.gpus_per_worker),
            resources_per_worker=resources.worker_bundle,
            placement_strategy=resources.placement.upper(),
        ),
        run_config=RunConfig(
            storage_path=scratch,  # Train's own bookkeeping; our checkpoints are in the record store
            callbacks=callbacks,  # type: ignore[arg-type]
            failure_config=FailureConfig(max_failures=0, **no_retries),
        ),
    )


def _fail(reason: str, final: bool) -> None:
    """Tells the driver why the trial failed: a line in the table where it is `final`, else it is tried again.

    Not in this process, whose device may be unusable by now: Tune ends a process that raised.
    """
    ray.tune.report({"error": reason})
    if not final:
        raise TrialLostError(reason)


def _worker(loop: dict[str, Any]) -> None:
    workers = Workers.current(ray.train.torch.get_device())
    with contextlib.suppress(DivergedError):  # a result, alike on all workers: nothing to restart
        _train(loop, workers, ray.train.report)


def _train(loop: dict[str, Any], workers: Workers, report: Report) -> None:
    """Runs the trial, reporting plain numbers; the record store has everything else."""
    trial = TrialConfig.model_validate_json(loop["trial"])
    torch.set_num_threads(max(1, int(loop["resources"].cpus_per_worker)))
    result: dict[str, Any] = {}
    store = RecordStore(loop["root"])
    require_claimed(store)
    for progress in run_trial(trial, store, loop["provenance"], workers):
        watched = progress.metrics.get(loop["watched"] or "")
        result |= {
            "step": progress.step,
            "num_steps": progress.num_steps,
            "num_images": progress.num_images,
            **({"objective": float(watched.value), "objective_step": progress.step} if watched else {}),
        }
        report(dict(result))
    if not result:  # resumed at its last step: nothing was left to do, and Tune expects a word all the same
        steps = trial.task.num_steps
        report({"step": steps, "num_steps": steps, "num_images": trial.task.num_images})
