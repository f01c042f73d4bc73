"""The processes that train: a trial of one worker, and each worker of a nested trial. They import PyTorch.

The loop is `ndabench.trials.run_trial` in both; only the way in which progress reaches the driver differs.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import ray.train
import ray.tune
import torch

from ndabench.distributed import Workers
from ndabench.orchestration.failure_reasons import is_mistake
from ndabench.orchestration.training_device import training_device
from ndabench.orchestration.trial_protocol import TrialDescription, fail
from ndabench.ownership import require_owned
from ndabench.records import RecordStore
from ndabench.records.trial_recorder import one_line
from ndabench.tasks.task import DivergedError
from ndabench.trials.config import Provenance, TrialConfig
from ndabench.trials.run import run_trial

Report = Callable[[dict[str, Any]], None]


def train_alone(description: TrialDescription) -> None:
    """Trains in Tune's own process for the trial."""
    try:
        _train(description, Workers(device=training_device(description.resources)), ray.tune.report)
    except DivergedError:
        return
    except Exception as error:
        fail(one_line(error), final=is_mistake(error))


def train_with_others(description: TrialDescription) -> None:
    """Trains as one of several workers, in a process that Ray Train has started."""
    workers = Workers.current(training_device(description.resources))
    with contextlib.suppress(DivergedError):  # a result, the same on all workers: a restart would not help
        _train(description, workers, ray.train.report)


def _train(description: TrialDescription, workers: Workers, report: Report) -> None:
    """Runs the trial and reports plain numbers; everything else is in the record store."""
    trial = TrialConfig.from_json(description.trial)
    torch.set_num_threads(max(1, int(description.resources.cpus_per_worker)))
    result: dict[str, Any] = {}
    store = RecordStore(description.root)
    require_owned(store)
    provenance, samples = Provenance(**description.provenance), description.samples
    for progress in run_trial(trial, store, provenance, workers, samples=samples):
        watched = progress.metrics.get(description.watched or "")
        result |= {
            "step": progress.step,
            "num_steps": progress.num_steps,
            "num_images": progress.num_images,
            "evaluations_done": progress.evaluated[0],
            "evaluation_units_done": progress.evaluated[1],
            **({"objective": float(watched.value), "objective_step": progress.step} if watched else {}),
        }
        report(dict(result))
    if not result:  # resumed at its last step: nothing was left to do, but Tune expects a report
        steps = trial.task.num_steps
        report({"step": steps, "num_steps": steps, "num_images": trial.task.num_images})
