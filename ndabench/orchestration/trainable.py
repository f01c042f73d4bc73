"""A trial as Ray Tune runs it: in Tune's own process with one worker, through Ray Train with several.

This module imports no PyTorch, nor any module of ours that does. The driver describes trials with it, and the
coordinator of a nested trial only starts workers and waits for them; `training_process` trains. Ray Train's
controller, a process next to the coordinator, needs no PyTorch either. Ray's interface allows that, with
`process_group` in place of Train's `TorchConfig`, whose module imports it, and with the base class of
`TorchTrainer`, which is private in Ray 2.60 (see `ray_private`).
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import ray.train
import ray.tune
from ray.exceptions import RayActorError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.tune.integration.ray_train import TuneReportCallback

from ndabench.orchestration.capacity import size_now
from ndabench.orchestration.failure_reasons import is_mistake, process_fate, reason_of_workers
from ndabench.orchestration.heartbeat import ControllerHeartbeat, Heartbeat
from ndabench.orchestration.process_group import ProcessGroupConfig
from ndabench.orchestration.ray_private import DataParallelTrainer, DatasetsCallback
from ndabench.orchestration.trial_protocol import TrialDescription, fail
from ndabench.planning.resources import Resources
from ndabench.records.trial_recorder import one_line
from ndabench.scratch import scratch_folder


def trainable(
    root: str, provenance: Mapping[str, Any], resources: Resources, watched: str | None, samples: int = 0
) -> Callable[[dict[str, Any]], None]:
    """The Tune function of a sweep, with the resources it asks for; see `TrialDescription` for the arguments.

    Tune calls it with `{"trial": JSON, "wait": seconds}`.
    """
    alone = resources.workers == 1

    def run(parameters: dict[str, Any]) -> None:
        description = TrialDescription(parameters["trial"], root, provenance, resources, watched, samples)
        with Heartbeat(ray.tune.get_context().get_trial_id(), resources.max_silence_seconds):
            time.sleep(parameters["wait"])
            (_run_alone if alone else _run_nested)(description)

    return ray.tune.with_resources(run, resources.worker_bundle if alone else resources.driver_bundle)


def _run_alone(description: TrialDescription) -> None:
    from ndabench.orchestration.training_process import train_alone  # late: it imports PyTorch

    train_alone(description)


def _run_nested(description: TrialDescription) -> None:
    resources = size_now(description.resources)
    timeout = resources.max_silence_seconds
    with scratch_folder() as scratch:
        try:
            _trainer(description, resources, str(scratch)).fit()
        except ray.train.TrainingFailedError as error:
            failures = getattr(error, "worker_failures", {0: getattr(error, "controller_failure", error)})
            mistake = next(filter(is_mistake, failures.values()), None)
            reason = one_line(mistake) if mistake else reason_of_workers(failures, timeout)
            fail(reason, final=mistake is not None)
        except RayActorError as error:
            fail(f"the process that manages its workers {process_fate(str(error))}", final=False)


def _trainer(description: TrialDescription, resources: Resources, scratch: str) -> "NestedTrainer":
    timeout = resources.max_silence_seconds
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = f"{timeout:g}"
    callbacks = [TuneReportCallback(), ControllerHeartbeat(ray.tune.get_context().get_trial_id(), timeout)]
    # The sweep restarts a lost trial. Train must not: a scheduler may just have stopped the trial, and Train
    # would then take resources that are never freed.
    no_retries: dict[str, Any] = {"controller_failure_limit": 0, "max_preemption_failures": 0}
    return NestedTrainer(
        _worker,
        train_loop_config={"description": description},
        backend_config=ProcessGroupConfig("nccl" if resources.trains_on_gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=bool(resources.gpus_per_worker),
            resources_per_worker=resources.worker_bundle,
            placement_strategy=resources.placement.upper(),
        ),
        run_config=RunConfig(
            storage_path=scratch,  # for Train's own files; our checkpoints are in the record store
            callbacks=callbacks,  # type: ignore[arg-type] # Train also accepts its internal callbacks
            failure_config=FailureConfig(max_failures=0, **no_retries),
        ),
    )


def _worker(loop: dict[str, Any]) -> None:
    from ndabench.orchestration.training_process import train_with_others  # late: it imports PyTorch

    train_with_others(loop["description"])


class NestedTrainer(DataParallelTrainer):
    """Does not start the process for Ray Data, which no trial uses; this saves 3 s per run on two cores."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        return [callback for callback in callbacks if not isinstance(callback, DatasetsCallback)]
