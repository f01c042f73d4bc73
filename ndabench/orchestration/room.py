"""Room on the cluster now: waited for before a sweep, watched during it, taken back from the dead.

Ray gives every trial's workers their room as a placement group, all of it or none.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import ray
import ray.tune
from ray._private.state import state as cluster_state
from ray.core.generated.gcs_pb2 import PlacementGroupTableData as Group  # type: ignore[attr-defined]
from ray.util.placement_group import PlacementGroup

from ndabench.orchestration.cluster import nodes
from ndabench.resources import Resources, largest_fitting, why_none_fits

SECONDS_TO_LOOK = 1.0
SECONDS_UNTIL_SAID = 15.0
SECONDS_TO_SETTLE = 5.0
LONGEST_SILENCE_SECONDS = 600.0

Say = Callable[[str], None]


@contextlib.contextmanager
def reserved(resources: Resources, say: Say) -> Iterator[PlacementGroup]:
    """The room of one trial, waited for as long as it takes, and free again afterwards."""
    resources = largest_fitting(nodes(), resources) or resources
    bundles = [resources.worker_bundle] * resources.workers
    group = ray.util.placement_group(bundles, strategy=resources.placement.upper())
    waiting = Waiting(resources, say)
    try:
        while not group.wait(timeout_seconds=SECONDS_TO_LOOK):
            waiting.look([group.id.binary()])
        waiting.look([])
        yield group
    finally:
        ray.util.remove_placement_group(group)


def size_now(resources: Resources) -> Resources:
    """With how many of its workers a trial starts now: all, or where they have no room, as many as have.

    It looks for a while, because what a lost trial held is free only after a moment.
    """
    until = time.monotonic() + SECONDS_TO_SETTLE
    while len(resources.sizes) > 1:
        free = list(cluster_state.available_resources_per_node().values())
        size = largest_fitting(free, resources)
        if size is not None and size.workers == resources.workers:
            return size
        if time.monotonic() > until:
            return size or resources.sizes[-1]
        time.sleep(SECONDS_TO_LOOK / 2)
    return resources


class Waiting:
    """Says what waits for room: after a while, then ever more rarely, and when it has it."""

    def __init__(
        self,
        resources: Resources,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
        shortage: Callable[[Resources], str] | None = None,
    ) -> None:
        self._resources, self._say, self._clock = resources, say, clock
        self._shortage = shortage or _shortage
        self._since: dict[bytes, float] = {}
        self._silent_until, self._silence = 0.0, 0.0

    def look(self, pending: Collection[bytes]) -> None:
        """Takes note of the groups that have no room now."""
        now = self._clock()
        self._since = {group: self._since.get(group, now) for group in pending}
        late = sum(now - since >= SECONDS_UNTIL_SAID for since in self._since.values())
        if not late and self._silence:
            self._say("there is room again")
            self._silence = self._silent_until = 0.0
        elif late and now >= self._silent_until:
            trials = "1 trial waits" if late == 1 else f"{late} trials wait"
            self._say(f"{trials} for room: {self._resources}, {self._shortage(self._resources)}")
            self._silence = min(LONGEST_SILENCE_SECONDS, max(60.0, 2 * self._silence))
            self._silent_until = now + self._silence


class RoomKeeper(ray.tune.Callback):
    """Says during a sweep what waits for room, and frees the room that a lost or stopped trial left taken.

    Ray Train frees the workers of a trial whose driver is gone only with the help of Ray's dashboard; until
    then, the trials that follow would wait for them.
    """

    def __init__(self, resources: Resources, say: Say) -> None:
        self._waiting = Waiting(resources, say)
        self._next_look = 0.0

    def __reduce__(self) -> Any:  # Tune pickles its callbacks, to restore a sweep from them; we never do
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
            elif group.state != Group.CREATED:
                pending.append(group.placement_group_id)
        self._waiting.look(pending)
        self._next_look = time.monotonic() + SECONDS_TO_LOOK


def _groups_of_this_job() -> list[Group]:
    """Ray's table says who made a group only in this, its raw form."""
    accessor = cluster_state._connect_and_get_accessor()
    groups = (Group.FromString(raw) for raw in accessor.get_placement_group_table())
    job = bytes.fromhex(ray.get_runtime_context().get_job_id())
    return [group for group in groups if group.creator_job_id == job and group.state != Group.REMOVED]


def _is_orphan(group: Group) -> bool:
    """Whether an actor made it, that is a trial's driver, which is gone."""
    made_by_actor = group.creator_actor_id not in (b"", ray.ActorID.nil().binary())
    return made_by_actor and group.creator_actor_dead


def _shortage(resources: Resources) -> str:
    """`free now: 0 of 2 CPU`, and what is missing for ever where nodes were lost."""
    alive = nodes()
    free = ray.available_resources()
    parts = []
    for name in resources.worker_bundle:
        unit, scale = ("GiB memory", 2**30) if name == "memory" else (name, 1)
        total = sum(node.get(name, 0) for node in alive)
        parts.append(f"{free.get(name, 0) / scale:.3g} of {total / scale:.3g} {unit}")
    known = f"free now: {', '.join(parts)}"
    if largest_fitting(alive, resources) is None:
        return f"{known}; more nodes are needed, {why_none_fits(alive, resources.sizes[-1])}"
    return known
