"""The resources that a trial requests, and how many trials fit on a cluster at once.

Plain arithmetic over descriptions of nodes, each a mapping of what the node has by Ray's names: `CPU`, `GPU`,
`memory` in bytes, and any other that its owner gave it. Knows no Ray.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ndabench.config import Config

GIB = 2**30
SMALLEST = 0.0001
"""The smallest share of anything that Ray counts."""
DRIVER_SHARE = 0.001
"""A trial's driver takes this share of the resource it is pinned to: a thousand drivers fit at once."""
DRIVERS_MEMORY = 2**20
"""Bytes of a node's memory that are left to drivers, who ask for one each (see `driver_bundle`)."""
OWN_KEYS = {
    "CPU": "cpus_per_worker",
    "GPU": "gpus_per_worker",
    "memory": "memory_gib_per_worker",
    "object_store_memory": "memory_gib_per_worker",
}

Node = Mapping[str, float]


class Resources(Config):
    """The resources of one trial, the placement of its workers on nodes, and how many trials may run at
    once."""

    workers: int = Field(1, ge=1, le=10_000)
    min_workers: int | None = Field(None, ge=1, le=10_000)
    """If not all workers fit, a trial starts with fewer, at least this many; None: it waits."""
    cpus_per_worker: float = Field(1, ge=SMALLEST, le=10_000)
    gpus_per_worker: float = Field(0, ge=0, le=1000)
    device: Literal["auto", "cpu"] = "auto"
    """auto: workers train on the GPUs that they reserve, or on CPUs where they reserve none. cpu: on CPUs in
    any case, for instance to try where trials are placed."""
    memory_gib_per_worker: float = Field(0, ge=0, le=10**6)
    """Ray reserves this much, so that it does not place two large workers on one small node; it is not
    enforced."""
    custom_per_worker: dict[str, Annotated[float, Field(ge=SMALLEST, le=10**9)]] = Field(default_factory=dict)
    """Shares of named resources of nodes, such as `accelerator_type:A100` or `node:10.0.0.7`."""
    placement: Literal["pack", "spread", "strict_pack", "strict_spread"] = "pack"
    """A trial's workers on as few nodes as possible, on many, all on one, or each on a different node."""
    drivers_on: str | None = None
    """A resource that safe nodes have: the drivers of trials run there, wherever their workers are."""
    autoscaling: bool = False
    """The cluster adds nodes on request: no trial is refused because it does not fit on the present nodes."""
    max_concurrent: int | None = Field(None, ge=1, le=10**5)
    max_restarts: int = Field(2, ge=0, le=10**6)
    """How often in a row a trial that was lost, or raised an exception, restarts without getting further than
    before. A trial that gets further each time may be lost any number of times."""
    max_silence_seconds: float = Field(120, ge=1, le=10**6)
    """A process that sends no heartbeat for this long, because it is stopped or swapped out, is killed."""

    @model_validator(mode="after")
    def _can_be_meant(self) -> "Resources":
        if self.gpus_per_worker != math.floor(self.gpus_per_worker):
            if self.workers > 1:
                raise ValueError(
                    "several workers need whole GPUs; a fraction of a GPU is for trials of one worker"
                )
            if self.gpus_per_worker > 1:
                raise ValueError(
                    f"gpus_per_worker {self.gpus_per_worker:g}: a share of one GPU, or whole GPUs"
                )
        for name in self.custom_per_worker:
            if name in OWN_KEYS:
                raise ValueError(f"custom_per_worker: {name} has its own key, {OWN_KEYS[name]}")
        if self.drivers_on is not None and self.workers == 1:
            raise ValueError(
                "drivers_on is for trials of several workers; one worker alone is placed by custom_per_worker"
            )
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers {self.min_workers} must not be above workers {self.workers}")
        if self.autoscaling and self.max_concurrent is None:
            raise ValueError("autoscaling needs max_concurrent: how many trials to ask nodes for at once")
        return self

    @property
    def sizes(self) -> list["Resources"]:
        """These resources, then the same with fewer and fewer workers, down to the fewest allowed.

        Divisors of `workers`, because they share equally every batch that `workers` can share.
        """
        least = self.min_workers or self.workers
        counts = [count for count in range(self.workers, least - 1, -1) if self.workers % count == 0]
        return [self.model_copy(update={"workers": count, "min_workers": None}) for count in counts]

    @property
    def trains_on_gpus(self) -> bool:
        return self.gpus_per_worker > 0 and self.device == "auto"

    @property
    def worker_bundle(self) -> dict[str, float]:
        """What one worker takes, by Ray's names."""
        amounts = {
            "CPU": self.cpus_per_worker,
            "GPU": self.gpus_per_worker,
            "memory": float(math.ceil(self.memory_gib_per_worker * GIB)),
            **self.custom_per_worker,
        }
        return {name: amount for name, amount in amounts.items() if amount}

    @property
    def driver_bundle(self) -> dict[str, float]:
        """What the driver of several workers takes, which only waits. If it held any share of a CPU, two
        workers would not fit on two CPUs and all would wait for ever. Tune refuses an empty request, hence a
        byte of memory.
        """
        pinned = {self.drivers_on: DRIVER_SHARE} if self.drivers_on is not None else {}
        return {"memory": 1, **pinned}

    def __str__(self) -> str:
        """`2 workers × (1 CPU, 1 GPU, 8 GiB memory), each on a different node`"""
        amounts = ", ".join(_amount(name, amount) for name, amount in self.worker_bundle.items())
        where = {"strict_pack": ", all on one node", "strict_spread": ", each on a different node"}
        several = where.get(self.placement, "") if self.workers > 1 else ""
        least = f"{self.sizes[-1].workers} to " if len(self.sizes) > 1 else ""
        return f"{least}{_counted(self.workers, 'worker')} × ({amounts}){several}"


def trials_fitting(nodes: Sequence[Node], resources: Resources) -> int:
    """How many trials can run at once on `nodes` without ever starving one another.

    Counted node by node, since a worker cannot span nodes. Every trial takes all of its workers or none, and
    drivers take nothing that workers need, so a trial that waits only waits for trials that run to their end.
    """
    room, workers = [_workers_fitting(node, resources) for node in nodes], resources.workers
    if resources.placement == "strict_pack":
        trials = sum(fitting // workers for fitting in room)
    else:
        trials = sum(room) // workers
        if resources.placement == "strict_spread":  # `trials` of them put at most one worker each on a node
            while trials and sum(min(fitting, trials) for fitting in room) < trials * workers:
                trials -= 1
    if resources.drivers_on is None:
        return trials
    shares = (node.get(resources.drivers_on, 0) / DRIVER_SHARE for node in nodes)
    return min(trials, sum(math.floor(share + 1e-9) for share in shares))


def largest_fitting(nodes: Sequence[Node], resources: Resources) -> Resources | None:
    """The resources with the largest allowed number of workers with which a trial fits on `nodes`."""
    return next((size for size in resources.sizes if trials_fitting(nodes, size)), None)


def why_none_fits(nodes: Sequence[Node], resources: Resources) -> str:
    """What is missing where `trials_fitting` is 0, in a few words."""
    for name, amount in resources.worker_bundle.items():
        most = max((node.get(name, 0) for node in nodes), default=0)
        if most < amount:
            return f"no node has {_amount(name, amount)} (the most is {_amount(name, most)})"
    room, workers = [_workers_fitting(node, resources) for node in nodes], resources.workers
    if not sum(room):
        return "no node has all of that"
    if sum(room) < workers:
        return f"{_counted(len(nodes), 'node')} can hold {_counted(sum(room), 'such worker')} together"
    if resources.placement == "strict_pack" and max(room) < workers:
        return f"no node can hold more than {max(room)} of them"
    with_room = sum(fitting > 0 for fitting in room)
    if resources.placement == "strict_spread" and with_room < workers:
        return f"only {with_room} of {_counted(len(nodes), 'node')} can hold such a worker"
    return f"no node has the resource {resources.drivers_on!r} that drivers_on asks for"


def _workers_fitting(node: Node, resources: Resources) -> int:
    has = {**node, "memory": node.get("memory", 0) - DRIVERS_MEMORY}
    wanted = resources.worker_bundle
    return math.floor(max(0.0, min(has.get(name, 0) / amount for name, amount in wanted.items())) + 1e-9)


def _amount(name: str, amount: float) -> str:
    return f"{amount / GIB:.3g} GiB memory" if name == "memory" else f"{amount:g} {name}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
