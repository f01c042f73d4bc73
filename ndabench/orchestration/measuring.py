"""Measures finished trials as tasks of Ray, each in a process with the resources of a worker."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import ray
import ray.exceptions

from ndabench.errors import UserError
from ndabench.orchestration.cluster import live_nodes
from ndabench.planning.capacity import concurrency
from ndabench.planning.later_evaluations import EvaluationList, Job
from ndabench.planning.resources import Resources
from ndabench.planning.sweep_state import SweepState
from ndabench.records import RecordStore
from ndabench.records.trial_recorder import one_line
from ndabench.trials.config import TrialConfig

SECONDS_BETWEEN_LOOKS = 0.5
Answer = tuple[str, dict[str, float]]
"""Why it could not be measured, or the values by displayed name."""


def measure_trials(jobs: Sequence[Job], resources: Resources, store: RecordStore, state: SweepState) -> None:
    """Measures the trials, as many at a time as fit, and tells `state` how each ended.

    A task whose process or node is lost starts again, at most `max_restarts` times. Ray must be connected.
    """
    task = ray.remote(_measure).options(
        num_cpus=resources.cpus_per_worker,
        num_gpus=resources.gpus_per_worker,
        memory=resources.worker_bundle.get("memory"),
        resources=dict(resources.custom_per_worker),
        max_retries=resources.max_restarts,
    )
    slots, waiting = concurrency(live_nodes(), resources), deque(jobs)
    running: dict[Any, Job] = {}
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                job = waiting.popleft()
                evaluations = [one.model_dump(mode="json", by_alias=True) for one in job.evaluations]
                running[task.remote(job.trial.to_json(), evaluations, store.root, resources)] = job
                state.start(job.trial)
            done, _ = ray.wait(list(running), timeout=SECONDS_BETWEEN_LOOKS)
            for answer in done:
                problem, values = _answer(answer)
                status = "failed" if problem else "finished"
                shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
                state.end(running.pop(answer).trial.trial_id, status, error=problem, notes=shown)
            state.tick()
    finally:
        for answer in running:
            ray.cancel(answer, force=True)


def _answer(answer: Any) -> Answer:
    try:
        found: Answer = ray.get(answer)
    except ray.exceptions.RayError as error:  # its process or its node is gone, again and again
        return one_line(error), {}
    return found


def _measure(trial: str, evaluations: list[dict[str, Any]], root: str, resources: Resources) -> Answer:
    # late: only in the task's own process, never in the driver
    import torch

    from ndabench.config import parse
    from ndabench.distributed import Workers
    from ndabench.orchestration.training_device import training_device
    from ndabench.ownership import require_owned
    from ndabench.trials.measuring_later import measure_later

    try:
        torch.set_num_threads(max(1, int(resources.cpus_per_worker)))
        store, workers = RecordStore(root), Workers(device=training_device(resources))
        require_owned(store)
        asked = parse(EvaluationList, evaluations, "evaluate")
        return "", measure_later(TrialConfig.from_json(trial), asked, store, workers)
    except UserError as error:
        return str(error), {}
    except Exception as error:  # an evaluation may raise anything; the other trials are measured all the same
        return one_line(error), {}
