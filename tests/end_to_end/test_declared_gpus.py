"""Where trials with GPUs are placed, on nodes that only declare theirs: the trainings run on CPUs."""

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.driving import UNCHECKED_SWEEP, Bench, Command, Reference, metrics, statuses
from tests.end_to_end.faults import let_go_on, losses, process_of, sabotaged, until
from tests.end_to_end.nodes import Nodes

pytestmark = [pytest.mark.slow, pytest.mark.release, pytest.mark.timeout(900)]

SMALL, LARGE = "accelerator_type:T4", "accelerator_type:A100"
HALF_A_T4: dict[str, Any] = {
    "cpus_per_worker": 0.5,
    "gpus_per_worker": 0.5,
    "device": "cpu",
    "custom_per_worker": {SMALL: 0.001},
}
TWO_NODES: dict[str, Any] = {
    "workers": 2,
    "gpus_per_worker": 1,
    "device": "cpu",
    "placement": "strict_spread",
}
HELD = 12
"""The step at which trials wait to be looked at."""


def test_trials_go_where_their_gpus_are(bench: Bench, reference: Reference) -> None:
    """Two trials share one GPU of the kind that they ask for; its node is lost, and they wait for another.
    Then two workers of one trial get a GPU each, on different nodes."""
    waits = [{"trial": f"none {seed}", "step": HELD, "what": "wait"} for seed in (0, 1)]
    held = sabotaged(bench, waits)
    file = bench.file(resources=HALF_A_T4, arms=["none"])
    with Nodes(held.environment) as nodes:
        nodes.add(cpus=0)
        large = nodes.add(cpus=2, gpus=2, resources={LARGE: 1})
        small = nodes.add(cpus=1, gpus=1, resources={SMALL: 1})
        cluster = Bench(bench.folder, nodes.environment)
        refuses(cluster, file)
        out = bench.folder / "out"
        sweep = cluster.start(*UNCHECKED_SWEEP, file, "--out", str(out))
        try:
            for seed in (0, 1):
                fault = f"wait of none {seed} at {HELD}"
                until(sweep, lambda fault=fault: process_of(held, fault), fault)  # type: ignore[misc]
                assert process_of(held, fault) in small.processes(), "where GPUs of that kind are"
            small.kill()
            lacks = "more nodes are needed, no node has 0.001 accelerator_type:T4"
            until(sweep, lambda: lacks in sweep.output(), "it says what it waits for")
            for seed in (0, 1):
                let_go_on(held, f"none {seed} at {HELD}")
            nodes.add(cpus=1, gpus=1, resources={SMALL: 1})
            ended = sweep.ended()
        finally:
            sweep.kill()
        assert (ended.code, ended.stderr) == (0, "")
        assert "2 trials, 0 of them done, 2 at a time" in ended.stdout
        assert len(losses(ended.stdout)) == 2
        assert metrics(out) == reference.metrics_of(statuses(out))
        on_two_nodes(bench, cluster, nodes, large)


def refuses(cluster: Bench, file: str) -> None:
    """What no node can hold, for its number or its kind of GPUs; and GPUs that PyTorch cannot use."""
    never = str(cluster.folder / "never")
    for assignment, why in (
        ("gpus_per_worker=3", "no node has 3 GPU (the most is 2 GPU)"),
        ("gpus_per_worker=2", "no node has all of that"),
        ("device=auto", "finds no GPU on the trial's node"),
    ):
        options = ("--set", f"resources.{assignment}")
        refused = cluster.run("ndabench.sweep", file, "--out", never, *options)
        assert refused.code == 2, refused
        assert why in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert not Path(never).exists()


def on_two_nodes(bench: Bench, cluster: Bench, nodes: Nodes, large: Command) -> None:
    out = bench.folder / "spread"
    file = bench.file(resources=TWO_NODES, arms=["none"], seeds=[0], task={"num_steps": 400})
    sweep = cluster.start(*UNCHECKED_SWEEP, file, "--out", str(out))
    try:
        (other,) = (node for node in nodes.all[1:] if node is not large and node.running)
        for node in (large, other):
            until(sweep, lambda node=node: node.titled("ray::RayTrainWorker"), "a worker on each")  # type: ignore[misc]
            assert len(node.titled("ray::RayTrainWorker")) == 1
    finally:
        sweep.kill()
