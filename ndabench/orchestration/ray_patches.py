"""Patches to Ray 2.60 for places where it ends a sweep, prints too much or wastes time."""

import re
from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError

from ndabench.orchestration.ray_private import RayActorManager, ray_constants, ray_logging, ray_utils, usage


def patch_ray() -> None:
    """Applies all patches. Call it before Ray starts; a second call does nothing."""
    # Ray prints paragraphs about every lost process; the sweep's own line says it in a few words.
    ray_logging.stdout_deduplicator.skip_re = re.compile("")
    # Otherwise Tune imports MLflow and W&B where they are installed: 1 s and 50 MB.
    usage.tag_callbacks = lambda callbacks: False
    # A killed driver ends as `interruption` says. Ray's handlers would end it at once, and without a line.
    ray_utils.set_sigterm_handler = lambda handler: None
    ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = True  # it prints a stack and aborts
    RayActorManager._actor_task_failed = _actor_task_failed  # type: ignore[method-assign] # the repair


_original = RayActorManager._actor_task_failed


def _actor_task_failed(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    """Turns every error of Ray's about a lost process into the one that Tune handles, `RayActorError`.

    Tune ends the whole sweep on any other, such as `OutOfMemoryError`. Which of the two arrives is a race
    inside Ray.
    """
    if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
        exception = RayActorError(error_msg=str(exception))
    _original(self, tracked_actor_task, exception)
