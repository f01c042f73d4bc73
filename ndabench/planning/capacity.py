"""How many trials a cluster can run, with how many workers a trial starts, and the messages while one waits.

Plain arithmetic over the nodes of a cluster (`resources.Node`); `ndabench.orchestration.capacity` asks Ray
for them.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from ndabench.errors import UserError
from ndabench.planning.resources import GIB, Node, Resources, largest_fitting, trials_fitting, why_none_fits

SECONDS_UNTIL_FIRST_NOTICE = 15.0
SHORTEST_SILENCE_SECONDS, LONGEST_SILENCE_SECONDS = 60.0, 600.0

Say = Callable[[str], None]


def concurrency(nodes: Sequence[Node], resources: Resources) -> int:
    """How many trials may run at once on `nodes` without starving one another.

    Raises `UserError` where not even one fits. With autoscaling it is `max_concurrent`, whatever the nodes
    are now.
    """
    if resources.autoscaling:
        assert resources.max_concurrent is not None
        return resources.max_concurrent
    fitting = largest_fitting(nodes, resources)
    if fitting is None:
        raise UserError(
            f"resources: a trial asks for {resources}, which this cluster cannot provide: "
            f"{why_none_fits(nodes, resources.sizes[-1])}"
        )
    trials = trials_fitting(nodes, fitting)
    return min(trials, resources.max_concurrent or trials)


def size_to_start(free: Sequence[Node], resources: Resources, *, patient: bool) -> Resources | None:
    """The resources with which a trial starts, given what is `free` on each node now.

    All workers where they fit. Otherwise None while the caller is `patient`, meaning that it should look
    again; then as many workers as fit, or the fewest allowed where none fit.
    """
    size = largest_fitting(free, resources)
    if size is not None and size.workers == resources.workers:
        return size
    return None if patient else size or resources.sizes[-1]


def describe_shortage(nodes: Sequence[Node], free: Mapping[str, float], resources: Resources) -> str:
    """`free now: 0 of 2 CPU`, and which nodes the cluster needs if the live ones can never hold a trial.

    `nodes` are the live nodes, `free` is the sum of what is free on them.
    """
    parts = []
    for name in resources.worker_bundle:
        unit, scale = ("GiB memory", GIB) if name == "memory" else (name, 1)
        total = sum(node.get(name, 0) for node in nodes)
        parts.append(f"{free.get(name, 0) / scale:.3g} of {total / scale:.3g} {unit}")
    known = f"free now: {', '.join(parts)}"
    if largest_fitting(nodes, resources) is None:
        return f"{known}; more nodes are needed, {why_none_fits(nodes, resources.sizes[-1])}"
    return known


class WaitingNotices:
    """Tells the user that trials wait: after a while, then at growing intervals, and when it is over."""

    def __init__(
        self,
        resources: Resources,
        say: Say,
        shortage: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resources, self._say, self._shortage, self._clock = resources, say, shortage, clock
        self._since: dict[bytes, float] = {}
        self._silent_until, self._silence = 0.0, 0.0

    def update(self, pending: Collection[bytes]) -> None:
        """Notes which trials' resource requests (by any id) wait now, and says so when it is time."""
        now = self._clock()
        self._since = {request: self._since.get(request, now) for request in pending}
        late = sum(now - since >= SECONDS_UNTIL_FIRST_NOTICE for since in self._since.values())
        if not late and self._silence:
            self._say("resources are available again")
            self._silence = self._silent_until = 0.0
        elif late and now >= self._silent_until:
            trials = "1 trial is" if late == 1 else f"{late} trials are"
            self._say(f"{trials} waiting for resources: {self._resources}, {self._shortage()}")
            self._silence = min(LONGEST_SILENCE_SECONDS, max(SHORTEST_SILENCE_SECONDS, 2 * self._silence))
            self._silent_until = now + self._silence
