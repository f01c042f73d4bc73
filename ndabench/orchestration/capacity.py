"""Waits for resources on the cluster before a sweep, watches them during it, and frees those of lost trials.

Ray reserves the resources of a trial's workers as a placement group: all of them or none. The arithmetic is
in `ndabench.planning.capacity`.
"""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import ray
import ray.tune
from ray.util.placement_group import PlacementGroup

from ndabench.orchestration.cluster import live_nodes
from ndabench.orchestration.ray_private import PlacementGroupTableData, cluster_state
from ndabench.planning.capacity import Say, WaitingNotices, describe_shortage, size_to_start
from ndabench.planning.resources import Resources, largest_fitting

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_SETTLE = 5.0


@contextlib.contextmanager
def reserved(resources: Resources, say: Say) -> Iterator[PlacementGroup]:
    """The resources of one trial, waited for as long as it takes, and released after the block."""
    resources = largest_fitting(live_nodes(), resources) or resources
    bundles = [resources.worker_bundle] * resources.workers
    group = ray.util.placement_group(bundles, strategy=resources.placement.upper())
    waiting = WaitingNotices(resources, say, partial(_shortage, resources))
    try:
        while not group.wait(timeout_seconds=SECONDS_BETWEEN_LOOKS):
            waiting.update([group.id.binary()])
        waiting.update([])
        yield group
    finally:
        ray.util.remove_placement_group(group)


def size_now(resources: Resources) -> Resources:
    """The resources with which a trial starts now: with all its workers, or with as many as fit.

    It looks for a few seconds, because the resources of a lost trial are free only after a moment.
    """
    until = time.monotonic() + SECONDS_TO_SETTLE
    while len(resources.sizes) > 1:
        free = list(cluster_state.available_resources_per_node().values())
        size = size_to_start(free, resources, patient=time.monotonic() <= until)
        if size is not None:
            return size
        time.sleep(SECONDS_BETWEEN_LOOKS / 2)
    return resources


class PlacementGroupCleaner(ray.tune.Callback):
    """During a sweep, logs which trials wait for resources, and frees the resources of lost or stopped
    trials.

    Ray Train frees the workers of a trial whose driver is gone only with the help of Ray's dashboard, which
    may not run. The trials that follow would wait for them.
    """

    def __init__(self, resources: Resources, say: Say) -> None:
        self._waiting = WaitingNotices(resources, say, partial(_shortage, resources))
        self._next_look = 0.0

    def __reduce__(self) -> Any:  # Tune pickles its callbacks to restore a sweep; ours resumes from records
        return ray.tune.Callback, ()

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        if time.monotonic() < self._next_look:
            return
        pending = []
        for group in _groups_of_this_job():
            if _is_orphan(group):
                ray.util.remove_placement_group(
                    PlacementGroup(ray.PlacementGroupID(group.placement_group_id))
                )
            elif group.state != PlacementGroupTableData.CREATED:
                pending.append(group.placement_group_id)
        self._waiting.update(pending)
        self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS


def _groups_of_this_job() -> list[PlacementGroupTableData]:
    """Only Ray's raw table says who created a group."""
    accessor = cluster_state._connect_and_get_accessor()
    groups = (PlacementGroupTableData.FromString(raw) for raw in accessor.get_placement_group_table())
    job = bytes.fromhex(ray.get_runtime_context().get_job_id())
    return [
        group
        for group in groups
        if group.creator_job_id == job and group.state != PlacementGroupTableData.REMOVED
    ]


def _is_orphan(group: PlacementGroupTableData) -> bool:
    """Whether an actor created it, which is a trial's coordinator, and that actor is gone."""
    made_by_actor = group.creator_actor_id not in (b"", ray.ActorID.nil().binary())
    return made_by_actor and group.creator_actor_dead


def _shortage(resources: Resources) -> str:
    return describe_shortage(live_nodes(), ray.available_resources(), resources)
