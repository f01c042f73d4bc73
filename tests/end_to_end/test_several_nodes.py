"""Trials of two workers on a cluster of several nodes: refused, waited for, and each of their parts lost."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Bench, metrics
from faults import losses, process_of, sabotaged, until
from nodes import Nodes

from ndabench.records import RecordStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SILENCE = 15
RESOURCES = {
    "workers": 2,
    "min_workers": 1,
    "placement": "strict_spread",
    "drivers_on": "safe",
    "max_silence_seconds": SILENCE,
    "max_restarts": 5,  # these trials are so quick that a fault may be faster than the word of their progress
}
FAULTS = [
    {"trial": "none 0", "step": 4, "ranks": [1], "what": "kill"},
    {"trial": "none 0", "step": 8, "what": "kill"},  # both workers
    {"trial": "none 0", "step": 12, "ranks": [1], "what": "stop"},
    {"trial": "none 0", "step": 16, "ranks": [0], "what": "wait"},  # until its driver is killed
    {"trial": "none 0", "step": 20, "ranks": [0], "what": "wait"},  # until its driver's node is lost
    {"trial": "negative 0", "step": 12, "ranks": [0], "what": "wait"},  # until a worker's node is lost
]
LOST = [
    "none seed 0: a worker's process was lost; going on from its checkpoint",
    "none seed 0: a worker's process was lost; going on from its checkpoint",
    f"none seed 0: a worker's process gave no sign of life for {SILENCE} s and was killed; "
    "going on from its checkpoint",
    "none seed 0: its process was lost; going on from its checkpoint",
    "none seed 0: its process was lost with its node; going on from its checkpoint",
    "jigsaw λ=0.5 seed 0: a worker's process was lost with its node; going on from its checkpoint",
]


@pytest.fixture
def damaged(bench: Bench) -> Bench:
    return sabotaged(bench, FAULTS)


@pytest.fixture
def nodes(damaged: Bench) -> Iterator[Nodes]:
    with Nodes(damaged.environment) as nodes:
        yield nodes


def test_trials_of_two_workers(bench: Bench, damaged: Bench, nodes: Nodes) -> None:
    file, out = bench.file(resources=RESOURCES, seeds=[0]), bench.folder / "out"
    undisturbed = bench.start(
        *("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ndabench.train"),
        *(file, "--arm", "none", "--out", str(bench.folder / "undisturbed")),
    )
    nodes.add(cpus=0)
    safe = nodes.add(cpus=0, resources={"safe": 1})
    nodes.add(cpus=1)
    lost = nodes.add(cpus=1)
    cluster = Bench(bench.folder, nodes.environment)
    refuses_what_can_never_fit(cluster, file)

    occupant = cluster.start("tests.end_to_end.occupy", "1")
    until(occupant, lambda: "occupied" in occupant.output(), "somebody has taken a CPU")
    sweep = cluster.start("ndabench.sweep", file, "--out", str(out))
    try:
        until(sweep, lambda: "waits for room" in sweep.output(), "it waits for room")
        occupant.terminate()
        until(sweep, lambda: process_of(damaged, "wait of none 0 at 16"), "step 16")
        (driver,) = safe.titled("ray::ImplicitFunc")
        os.kill(driver, signal.SIGKILL)
        until(sweep, lambda: process_of(damaged, "wait of none 0 at 20"), "step 20")
        safe.kill()
        until(sweep, lambda: "that drivers_on asks for" in sweep.output(), "it waits for a safe node")
        nodes.add(cpus=0, resources={"safe": 1})
        until(sweep, lambda: process_of(damaged, "wait of negative 0 at 12"), "the other trial's middle")
        lost.kill()
        ended = sweep.ended()
        assert undisturbed.ended().code == 0
    finally:
        for command in (sweep, occupant, undisturbed):
            command.kill()
    assert (ended.code, ended.stderr) == (0, "")
    asked = "1 to 2 workers × (1 CPU), each on a node of its own"
    assert f"2 trials, 0 of them done, 1 at a time, each {asked}" in ended.stdout
    taken = "1 trial waits for room: 2 workers × (1 CPU), each on a node of its own, free now: 1 of 2 CPU\n"
    unsafe = (
        f"1 trial waits for room: {asked}, free now: 2 of 2 CPU; "
        "more nodes are needed, no node has the resource 'safe' that drivers_on asks for\n"
    )
    assert taken + "there is room again\n" in ended.stdout
    assert unsafe + "there is room again\n" in ended.stdout
    assert losses(ended.stdout) == LOST
    assert ended.stdout.endswith("complete: 2 finished\n")
    are_whole(out)
    of_the_first = {key: value for key, value in metrics(out).items() if key[0].startswith("none")}
    assert of_the_first == metrics(bench.folder / "undisturbed")


def refuses_what_can_never_fit(cluster: Bench, file: str) -> None:
    never = cluster.folder / "never"
    together = ["--set", "resources.min_workers=2", "--set", "resources.placement=strict_pack"]
    refused = cluster.sweep(file, "--out", str(never), *together)
    assert (refused.code, refused.stdout) == (2, "")
    assert refused.stderr == (
        "error: resources: a trial asks for 2 workers × (1 CPU), all on one node, "
        "which this Ray can never give: one node has room for 1 of them at most\n"
    )
    assert not never.exists()


def are_whole(out: Path) -> None:
    """All steps of both trials, once each; the second ended on the node that was left."""
    steps: dict[str, list[int]] = {}
    for trial, step, metric in sorted(metrics(out)):
        if metric in ("loss_generator", "val_fd_classifier"):
            steps.setdefault(f"{trial.split('-')[0]} {metric}", []).append(step)
    whole = {"loss_generator": list(range(2, 25, 2)), "val_fd_classifier": [0, 8, 16, 24]}
    assert steps == {f"{arm} {metric}": whole[metric] for arm in ("jigsaw", "none") for metric in whole}
    rows = RecordStore(str(out)).read_trials().to_pylist()
    assert {row["arm"]: (row["device"], row["attempts"]) for row in rows} == {
        "none": ("2 × cpu", 6),
        "jigsaw": ("1 × cpu", 2),
    }
