"""Prepares a sweep in a Ray task with the resources of a trial; `local_preparation` does so on this machine.

The work finds mistakes before any training, and prepares data and evaluations once for all trials. It needs
PyTorch, so it is done outside the driver.
"""

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ndabench.errors import UserError
from ndabench.orchestration.capacity import reserved
from ndabench.orchestration.local_preparation import Answer, found, trials_to_prepare
from ndabench.planning.capacity import Say
from ndabench.planning.resources import Resources
from ndabench.planning.sweep_file import SweepConfig
from ndabench.trials.config import Prepared


def prepare_on_a_worker(config: SweepConfig, *, check: bool, say: Say, timed: bool = False) -> Prepared:
    """Prepares what the trials of a sweep need, and to `check` them takes two steps.

    Raises `UserError` for a mistake in the sweep, its data or its evaluations.
    """
    resources = config.resources
    with reserved(resources, say) as group:
        task = ray.remote(_prepare_here).options(
            num_cpus=resources.cpus_per_worker,
            num_gpus=resources.gpus_per_worker,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0),
        )
        answer: Answer = ray.get(task.remote(trials_to_prepare(config), resources, check, timed))
        return found(answer)


def _prepare_here(trials: list[str], resources: Resources, check: bool, timed: bool) -> Answer:
    # late: only in the task's own process, never in the driver
    from ndabench.orchestration.preparation_process import prepare_trials
    from ndabench.orchestration.training_device import training_device

    try:
        device = training_device(resources.model_copy(update={"workers": 1}))
    except UserError as error:
        return str(error), None
    return prepare_trials(trials, resources.workers, device, check=check, timed=timed)
