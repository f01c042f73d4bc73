"""What Ray 2.60 does wrong or needlessly for a sweep, mended from outside, until Ray has mended it."""

import re
from typing import Any

from ray._private import ray_logging
from ray.air._internal import usage
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback


def mend() -> None:
    """To be called before Ray starts; again does no harm."""
    # Of lost processes Ray says much, here and nowhere else; the sweep's own line says it short.
    ray_logging.stdout_deduplicator.skip_re = re.compile("")
    # It would import MLflow and W&B where they are installed, to count that they are not used: 1 s, 50 MB.
    usage.tag_callbacks = lambda callbacks: False
    RayActorManager._actor_task_failed = _lost_in_any_way  # type: ignore[method-assign]


_lost = RayActorManager._actor_task_failed


def _lost_in_any_way(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    """Tune knows one kind of error for a lost process, and ends the whole sweep with any other of Ray's.

    `OutOfMemoryError` is one of those: whether it or the usual kind arrives is a race inside Ray.
    """
    if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
        exception = RayActorError(error_msg=str(exception))
    _lost(self, tracked_actor_task, exception)


class Trainer(TorchTrainer):
    """Without the process that each run starts for Ray Data, which no trial uses: some 3 s on two cores."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]
        return [callback for callback in callbacks if not isinstance(callback, DatasetsCallback)]
