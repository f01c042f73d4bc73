"""A trial of two workers on a cluster of several nodes: refused, waited for, and each of its parts lost."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from driving import Bench, Command, metrics
from faults import losses, process_of, sabotaged, until
from nodes import Nodes

from ndabench.records import RecordStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OCCUPY = Path(__file__).parent / "occupy.py"
SILENCE = 15
RESOURCES = {
    "workers": 2,
    "min_workers": 1,
    "placement": "strict_spread",
    "drivers_on": "safe",
    "max_silence_seconds": SILENCE,
    "max_restarts": 5,  # it is so quick that a fault may be faster than the word of its progress
}
FAULTS = [
    {"trial": "none 0", "step": 4, "ranks": [1], "what": "kill"},
    {"trial": "none 0", "step": 8, "what": "kill"},  # both workers
    {"trial": "none 0", "step": 12, "ranks": [1], "what": "stop"},
    {"trial": "none 0", "step": 16, "ranks": [0], "what": "wait"},  # until its driver is killed
    {"trial": "none 0", "step": 20, "ranks": [0], "what": "wait"},  # until its driver's node is lost
    {"trial": "none 0", "step": 22, "ranks": [0], "what": "wait"},  # until a worker's node is lost
]
LOST = [
    "none seed 0: a worker's process was lost; resuming from its checkpoint",
    "none seed 0: a worker's process was lost; resuming from its checkpoint",
    f"none seed 0: a worker's process sent no heartbeat for {SILENCE} s and was killed; "
    "resuming from its checkpoint",
    "none seed 0: its process was lost; resuming from its checkpoint",
    "none seed 0: its process was lost; resuming from its checkpoint",
    "none seed 0: a worker's process was lost; resuming from its checkpoint",
]


@pytest.fixture
def damaged(bench: Bench) -> Bench:
    return sabotaged(bench, FAULTS)


@pytest.fixture
def nodes(damaged: Bench) -> Iterator[Nodes]:
    with Nodes(damaged.environment) as nodes:
        yield nodes


def test_a_trial_of_two_workers(bench: Bench, damaged: Bench, nodes: Nodes) -> None:
    file, out = bench.file(resources=RESOURCES, arms=["none"], seeds=[0]), bench.folder / "out"
    with ExitStack() as stack:
        whole = bench.start(
            *("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ndabench.train"),
            *(file, "--out", str(bench.folder / "undisturbed")),
        )
        stack.callback(whole.kill)
        nodes.add(cpus=0)
        safe = nodes.add(cpus=0, resources={"safe": 1})
        nodes.add(cpus=1)
        lost = nodes.add(cpus=1)
        cluster = Bench(bench.folder, nodes.environment)
        refuses_what_can_never_fit(cluster, file)

        occupant = Command(bench.folder, [sys.executable, str(OCCUPY), "1"], nodes.environment)
        stack.callback(occupant.kill)
        until(occupant, lambda: "occupied" in occupant.output(), "somebody has taken a CPU")
        sweep = cluster.start("ndabench.sweep", file, "--out", str(out))
        stack.callback(sweep.kill)
        until(sweep, lambda: "waiting for resources" in sweep.output(), "it waits for resources")
        occupant.terminate()
        for fault in (
            "kill of none 0 at 4",
            "kill of none 0 at 8",
            "stop of none 0 at 12",
            "wait of none 0 at 16",
        ):
            until(sweep, partial(process_of, damaged, fault), fault)
        (driver,) = safe.titled("ray::ImplicitFunc")
        os.kill(driver, signal.SIGKILL)
        until(sweep, lambda: process_of(damaged, "wait of none 0 at 20"), "step 20")
        safe.kill()
        until(sweep, lambda: "that drivers_on asks for" in sweep.output(), "it waits for a safe node")
        nodes.add(cpus=0, resources={"safe": 1})
        until(sweep, lambda: process_of(damaged, "wait of none 0 at 22"), "step 22")
        lost.kill()
        ended = sweep.ended()
        assert whole.ended().code == 0
    assert (ended.code, ended.stderr) == (0, "")
    asked = "1 to 2 workers × (1 CPU), each on a different node"
    assert f"1 trials, 0 of them done, 1 at a time, each {asked}" in ended.stdout
    taken = (
        "1 trial is waiting for resources: 2 workers × (1 CPU), each on a different node, "
        "free now: 1 of 2 CPU\n"
    )
    unsafe = (
        f"1 trial is waiting for resources: {asked}, free now: 2 of 2 CPU; "
        "more nodes are needed, no node has the resource 'safe' that drivers_on asks for\n"
    )
    assert taken + "resources are available again\n" in ended.stdout
    lines = ended.stdout.splitlines(keepends=True)
    without_reminders = "".join(line for line in lines if not line.startswith("[0/1] "))
    assert unsafe + "resources are available again\n" in without_reminders
    # Whether Ray learns first of the process or of its node is chance.
    assert [line.replace(" with its node", "") for line in losses(ended.stdout)] == LOST
    assert ended.stdout.endswith("complete: 1 finished\n")
    measured, undisturbed = metrics(out), metrics(bench.folder / "undisturbed")
    assert measured.keys() == undisturbed.keys()
    assert by_two_workers(measured) == by_two_workers(undisturbed)
    (row,) = RecordStore(str(out)).read_trials().to_pylist()
    assert (row["device"], row["attempts"]) == ("1 × cpu", 7), "it ended on the node that was left"


def by_two_workers(values: dict) -> dict:
    return {key: value for key, value in values.items() if key[1] < 22}


def refuses_what_can_never_fit(cluster: Bench, file: str) -> None:
    never = cluster.folder / "never"
    together = ["--set", "resources.min_workers=2", "--set", "resources.placement=strict_pack"]
    refused = cluster.sweep(file, "--out", str(never), *together)
    assert (refused.code, refused.stdout) == (2, "")
    assert refused.stderr == (
        "error: resources: a trial asks for 2 workers × (1 CPU), all on one node, "
        "which this cluster cannot provide: one node has room for 1 of them at most\n"
    )
    assert not never.exists()
