"""One trial under Ray: directly in its Tune function with one worker, through Ray Train with several.

The loop is the same, `ndabench.trials.run_trial`; only the way that progress travels up differs.
"""

import contextlib
import tempfile
from collections.abc import Callable
from typing import Any

import ray.train
import ray.train.torch
import ray.tune
import torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from ndabench.claim import require_claimed
from ndabench.diary import one_line
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.orchestration.room import size_now
from ndabench.records import RecordStore
from ndabench.resources import Resources
from ndabench.sweepfile import SweepConfig
from ndabench.tasks.task import DivergedError
from ndabench.trials import Provenance, TrialConfig, run_trial

Report = Callable[[dict[str, Any]], None]


def trainable(config: SweepConfig, root: str, provenance: Provenance) -> Any:
    """The Tune function of a sweep with the resources that it asks for; its configuration holds one trial."""
    resources = config.resources
    watched = config.objective.watched if config.objective is not None else None
    settings = {"root": root, "provenance": provenance, "resources": resources, "watched": watched}

    def run(parameters: dict[str, Any]) -> None:
        (_run_alone if resources.workers == 1 else _run_nested)({**settings, "trial": parameters["trial"]})

    alone = resources.workers == 1
    return ray.tune.with_resources(run, resources.worker_bundle if alone else resources.driver_bundle)


def _run_alone(loop: dict[str, Any]) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        _train(loop, Workers(device=device), ray.tune.report)
    except DivergedError:
        return
    except Exception as error:  # a line in the table, and the sweep goes on
        ray.tune.report({"error": one_line(error)})


def _run_nested(loop: dict[str, Any]) -> None:
    resources: Resources = size_now(loop["resources"])
    with tempfile.TemporaryDirectory(prefix="ndabench-train-") as scratch:
        trainer = TorchTrainer(
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
                callbacks=[TuneReportCallback()],  # type: ignore[list-item]
            ),
        )
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            failures = getattr(error, "worker_failures", {}).values()
            mistake = next((failure for failure in failures if isinstance(failure, UserError)), None)
            if mistake is None:
                # Perhaps a lost worker: Tune starts the trial again from its checkpoint. Train must not: a
                # scheduler may just have stopped the trial, and Train would take resources that nobody frees.
                raise
            ray.tune.report({"error": one_line(mistake)})


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
