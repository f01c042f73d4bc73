"""Finds mistakes before any training, and prepares data and evaluations once for all trials.

The work needs PyTorch, so it is done outside the driver: in a child process where Ray runs on this machine
alone, else in a Ray task with the resources of a trial.
"""

import json
import os
import signal
import subprocess
import sys

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ndabench.errors import UserError
from ndabench.orchestration.capacity import reserved
from ndabench.planning.capacity import Say
from ndabench.planning.resources import Resources
from ndabench.planning.sweep_file import SweepConfig
from ndabench.scratch import scratch_folder
from ndabench.trials.config import Cost, Prepared

Answer = tuple[str | None, Prepared | None]
"""The line of a `UserError`, or what preparing found."""
STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
"""What libraries print is no output of the sweep: in the child, it goes to standard error."""


def prepare_sweep(
    config: SweepConfig, *, local: bool, check: bool, say: Say, timed: bool = False, quiet: bool = False
) -> Prepared:
    """Prepares what the trials of a sweep need, where they will run, and to `check` them takes two steps.

    `local` says that this driver started Ray on this machine. Raises `UserError` for a mistake in the sweep,
    its data or its evaluations. If it is `quiet`, what the child logs is dropped.
    """
    seed, resources = config.seeds[0], config.resources
    trials = [
        config.trial(arm, setting, seed).to_json()
        for arm in config.arms
        for setting in config.boundary_settings(arm)
    ]
    if local and not resources.gpus_per_worker:
        threads = max(1, int(resources.cpus_per_worker)) if timed else 0
        answer = _in_a_child(trials, resources.workers, check, threads, quiet=quiet)
    else:
        answer = _on_the_cluster(trials, resources, check, say, timed)
    problem, prepared = answer
    if problem is not None:
        raise UserError(problem)
    assert prepared is not None
    return prepared


def _in_a_child(
    trials: list[str], num_workers: int, check: bool, timed_threads: int, *, quiet: bool
) -> Answer:
    """With all the threads of this machine, unless it is timed; a Ray task would have those of one worker."""
    # the child's log is output of the sweep
    own_lines = os.open(os.devnull, os.O_WRONLY) if quiet else os.dup(STANDARD_OUTPUT)
    with scratch_folder() as folder, os.fdopen(own_lines, "wb"):
        request = {"trials": trials, "num_workers": num_workers, "check": check}
        request |= {"timed_threads": timed_threads, "log": own_lines}
        (folder / "request.json").write_text(json.dumps(request))
        child = subprocess.Popen(
            [sys.executable, "-m", "ndabench.orchestration.preparation_process", str(folder)],
            stdin=subprocess.PIPE,  # closes when this process ends, and with it the child
            stdout=STANDARD_ERROR,
            pass_fds=[own_lines],
            start_new_session=True,  # Ctrl-C interrupts the driver, which then ends the child
        )
        with child:
            try:
                child.wait()
            finally:
                child.kill()
        answer = folder / "answer.json"
        if not answer.exists():
            if child.returncode == -signal.SIGKILL:
                raise UserError(
                    "the process that prepares the sweep was killed, most likely because memory ran out; "
                    "make the data, the networks or the batch smaller (--no-check skips the training steps)"
                )
            code = child.returncode
            raise RuntimeError(f"the process that prepares the sweep ended with exit code {code}")
        problem, prepared = json.loads(answer.read_text())
        if prepared is None:
            return problem, None
        data_hash, checked, notes, negative_data, counts, costs = prepared
        costs = [Cost(*cost) for cost in costs]
        return problem, Prepared(data_hash, checked, tuple(notes), negative_data, counts, costs)


def _on_the_cluster(trials: list[str], resources: Resources, check: bool, say: Say, timed: bool) -> Answer:
    with reserved(resources, say) as group:
        task = ray.remote(_prepare_here).options(
            num_cpus=resources.cpus_per_worker,
            num_gpus=resources.gpus_per_worker,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0),
        )
        answer: Answer = ray.get(task.remote(trials, resources, check, timed))
        return answer


def _prepare_here(trials: list[str], resources: Resources, check: bool, timed: bool) -> Answer:
    # late: only in the task's own process, never in the driver
    from ndabench.orchestration.preparation_process import prepare_trials
    from ndabench.orchestration.training_device import training_device

    try:
        device = training_device(resources.model_copy(update={"workers": 1}))
    except UserError as error:
        return str(error), None
    return prepare_trials(trials, resources.workers, device, check=check, timed=timed)
