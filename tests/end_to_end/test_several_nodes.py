"""A trial of two workers on a cluster of several nodes: refused, waited for, and each of its parts lost."""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ndabench.records import RecordStore
from tests.end_to_end.driving import UNCHECKED_SWEEP, Bench, Command, Ended, Reference, metrics, statuses
from tests.end_to_end.faults import losses, process_of, sabotaged, until
from tests.end_to_end.nodes import Nodes

pytestmark = [pytest.mark.slow, pytest.mark.release, pytest.mark.timeout(900)]

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
FAULTS: Mapping[int, Mapping[str, Any]] = {
    4: {"ranks": [1], "what": "kill"},
    8: {"what": "kill"},  # both workers
    12: {"ranks": [1], "what": "stop"},
    16: {"ranks": [0], "what": "wait"},  # until its driver is killed
    20: {"ranks": [0], "what": "wait"},  # until its driver's node is lost
    22: {"ranks": [0], "what": "wait"},  # until a worker's node is lost
}
"""By the step at which each happens."""
KILLED = "a worker's process was lost"
LOST = {
    4: KILLED,
    8: KILLED,
    12: f"a worker's process sent no heartbeat for {SILENCE} s and was killed",
    16: "its process was lost",
    20: "its process was lost",
    22: KILLED,
}
ASKED = "1 to 2 workers × (1 CPU), each on a different node"
TAKEN = (
    "1 trial is waiting for resources: 2 workers × (1 CPU), each on a different node, "
    "free now: 1 of 2 CPU\nresources are available again\n"
)
UNSAFE = (
    f"1 trial is waiting for resources: {ASKED}, free now: 2 of 2 CPU; more nodes are needed, "
    "no node has the resource 'safe' that drivers_on asks for\nresources are available again\n"
)


def test_a_trial_of_two_workers(bench: Bench, without_ray: Bench, reference: Reference) -> None:
    file, out = bench.file(resources=RESOURCES, arms=["none"], seeds=[0]), bench.folder / "out"
    undisturbed = bench.folder / "undisturbed"
    damaged = sabotaged(bench, [{"trial": "none 0", "step": step, **FAULTS[step]} for step in FAULTS])
    with Nodes(damaged.environment) as nodes, ExitStack() as stack:
        torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
        whole = without_ray.start(*torchrun, "ndabench.train", file, "--out", str(undisturbed))
        stack.callback(whole.kill)
        nodes.add(cpus=0)
        safe = nodes.add(cpus=0, resources={"safe": 1})
        nodes.add(cpus=1)
        lost = nodes.add(cpus=1)
        cluster = Bench(bench.folder, nodes.environment)
        refuses_what_can_never_fit(cluster, file)
        occupant = occupies_a_cpu(cluster)
        stack.callback(occupant.kill)
        sweep = cluster.start(*UNCHECKED_SWEEP, file, "--out", str(out))
        stack.callback(sweep.kill)
        until(sweep, lambda: "waiting for resources" in sweep.output(), "it waits for resources")
        occupant.terminate()
        for step in FAULTS:
            fault = f"{FAULTS[step]['what']} of none 0 at {step}"
            until(sweep, partial(process_of, damaged, fault), fault)
            if step == 16:
                (driver,) = safe.titled("ray::ImplicitFunc")
                os.kill(driver, signal.SIGKILL)
            elif step == 20:
                safe.kill()
                until(sweep, lambda: "that drivers_on asks for" in sweep.output(), "it waits for a safe node")
                nodes.add(cpus=0, resources={"safe": 1})
            elif step == 22:
                lost.kill()
        ended = sweep.ended()
        alone = whole.ended()
    assert (ended.code, ended.stderr) == (0, "")
    assert f"1 trials, 0 of them done, 1 at a time, each {ASKED}" in ended.stdout
    assert TAKEN in ended.stdout
    lines = ended.stdout.splitlines(keepends=True)
    assert UNSAFE in "".join(line for line in lines if not line.startswith("[0/1] ")), "less reminders"
    # Whether Ray learns first of the process or of its node is chance.
    assert [line.replace(" with its node", "") for line in losses(ended.stdout)] == [
        f"none seed 0: {LOST[step]}; resuming from its checkpoint" for step in FAULTS
    ]
    assert ended.stdout.endswith("complete: 1 finished\n")
    assert metrics(out).keys() == metrics(undisturbed).keys()
    assert by_two_workers(metrics(out)) == by_two_workers(metrics(undisturbed))
    (row,) = RecordStore(str(out)).read_trials().to_pylist()
    assert (row["device"], row["attempts"]) == ("1 × cpu", len(FAULTS) + 1), "it ended on the node left"
    is_one_trial_of_two_workers(alone, undisturbed, reference)


def is_one_trial_of_two_workers(ended: Ended, out: Path, reference: Reference) -> None:
    """Under torchrun, without Ray, it is the trial of the reference, but for rounding."""
    assert ended.code == 0, ended.stderr
    (trial,) = statuses(out)
    assert statuses(out) == {trial: "finished"}
    assert ended.stdout.count("step 22/24") == 1, "one of the two workers speaks"
    shared, alone = metrics(out), reference.metrics_of([trial])
    assert shared.keys() == alone.keys()
    # Adam takes steps of one size however small a gradient, so that rounding errors grow quickly.
    first = [{key: value for key, value in values.items() if key[1] <= 8} for values in (shared, alone)]
    assert first[0] == pytest.approx(first[1], rel=0.02, abs=0.02)


def occupies_a_cpu(cluster: Bench) -> Command:
    """Somebody else on the cluster, who has taken a CPU."""
    occupant = Command(cluster.folder, [sys.executable, str(OCCUPY), "1"], cluster.environment)
    until(occupant, lambda: "occupied" in occupant.output(), "somebody has taken a CPU")
    return occupant


def by_two_workers(values: dict[tuple[str, int, str], float]) -> dict[tuple[str, int, str], float]:
    return {key: value for key, value in values.items() if key[1] < 22}


def refuses_what_can_never_fit(cluster: Bench, file: str) -> None:
    never = cluster.folder / "never"
    together = ["--set", "resources.min_workers=2", "--set", "resources.placement=strict_pack"]
    refused = cluster.sweep(file, "--out", str(never), *together)
    assert (refused.code, refused.stdout) == (2, "connecting to the Ray cluster …\n")
    assert refused.stderr == (
        "error: resources: a trial asks for 2 workers × (1 CPU), all on one node, "
        "which this cluster cannot provide: no node can hold more than 1 of them\n"
    )
    assert not never.exists()
