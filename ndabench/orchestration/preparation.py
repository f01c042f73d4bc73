"""Finds mistakes before any training, and prepares data and evaluations once for all trials.

The work needs PyTorch, so it is done outside the driver: in a child process where Ray runs on this machine
alone, else in a Ray task with the resources of a trial.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ndabench.errors import UserError
from ndabench.orchestration.capacity import reserved
from ndabench.planning.capacity import Say
from ndabench.planning.resources import Resources
from ndabench.planning.sweep_file import SweepConfig

STANDARD_ERROR = 2
"""What libraries print is no output of the sweep."""


def prepare_sweep(config: SweepConfig, *, local: bool, say: Say) -> None:
    """Prepares what the trials of a sweep need, where they will run.

    `local` says that this driver started Ray on this machine. Raises `UserError` for a mistake in the sweep,
    its data or its evaluations.
    """
    seed, resources = config.seeds[0], config.resources
    trials = [
        config.trial(arm, corner, seed).to_json() for arm in config.arms for corner in config.corners(arm)
    ]
    if local and not resources.gpus_per_worker:
        problem = _in_a_child(trials, resources.workers)
    else:
        problem = _on_the_cluster(trials, resources, say)
    if problem is not None:
        raise UserError(problem)


def _in_a_child(trials: list[str], num_workers: int) -> str | None:
    """With all the threads of this machine; a Ray task would have those of one worker."""
    with tempfile.TemporaryDirectory(prefix="ndabench-prepare-") as name:
        folder = Path(name)
        (folder / "request.json").write_text(json.dumps({"trials": trials, "num_workers": num_workers}))
        child = subprocess.Popen(
            [sys.executable, "-m", "ndabench.orchestration.preparation_process", name],
            stdin=subprocess.PIPE,  # closes when this process ends, and with it the child
            stdout=STANDARD_ERROR,
            start_new_session=True,  # Ctrl-C interrupts the driver, which then ends the child
        )
        with child:
            try:
                child.wait()
            finally:
                child.kill()
        answer = folder / "answer.json"
        if not answer.exists():
            raise RuntimeError(f"the process that prepares the sweep ended with exit code {child.returncode}")
        return json.loads(answer.read_text())["problem"]


def _on_the_cluster(trials: list[str], resources: Resources, say: Say) -> str | None:
    with reserved(resources, say) as group:
        task = ray.remote(_prepare_here).options(
            num_cpus=resources.cpus_per_worker,
            num_gpus=resources.gpus_per_worker,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0),
        )
        return ray.get(task.remote(trials, resources.workers))


def _prepare_here(trials: list[str], num_workers: int) -> str | None:
    import torch  # only in the task's own process

    from ndabench.orchestration.preparation_process import prepare_trials

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return prepare_trials(trials, num_workers, device)
