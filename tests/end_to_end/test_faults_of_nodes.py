"""A node that the network cuts off while its processes live on, and the loss of the head."""

import time
from collections.abc import Iterator

import pytest

from ndabench.records import RecordStore, read_status
from tests.end_to_end.driving import UNCHECKED_SWEEP, Bench, Command, Reference, metrics, statuses, tiny
from tests.end_to_end.faults import let_go_on, losses, process_of, sabotaged, until
from tests.end_to_end.namespaces import Cable, two_networks
from tests.end_to_end.nodes import Nodes

pytestmark = [pytest.mark.slow, pytest.mark.release, pytest.mark.timeout(900)]

FAULTS = [
    {"trial": f"none {seed}", "step": step, "what": "wait", "times": 2}
    for seed in (0, 1)
    for step in (12, 18)
]
QUICK_TO_DECLARE_DEAD = {  # some 15 s
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}
PATIENCE_OF_RAY = 10


@pytest.fixture
def cable() -> Iterator[Cable]:
    with two_networks() as cable:
        if cable is None:
            pytest.skip("networks of our own cannot be made here: that takes root on Linux")
        yield cable


def test_a_node_is_cut_off_and_the_head_is_lost(bench: Bench, cable: Cable, reference: Reference) -> None:
    """The cut-off process meets its successor's records; what is left goes on without a cluster."""
    damaged, out = sabotaged(bench, FAULTS), bench.folder / "out"
    arguments = [bench.file(arms=["none"]), "--out", str(out)]
    environment = {**damaged.environment, **QUICK_TO_DECLARE_DEAD}
    with Nodes(environment, cable.near.ip) as nodes:
        head = nodes.add(cpus=1, ip=cable.near.ip, prefix=cable.near.inside)
        far = nodes.add(cpus=1, ip=cable.far.ip, prefix=cable.far.inside)
        environment = {**nodes.environment, "RAY_gcs_rpc_server_reconnect_timeout_s": str(PATIENCE_OF_RAY)}
        cluster = Bench(bench.folder, environment)
        sweep = cluster.start(*UNCHECKED_SWEEP, *arguments, prefix=cable.near.inside)
        try:
            cut_off = is_cut_off(damaged, cable, far, sweep)
            wait = f"wait of none {cut_off} at 18"
            until(sweep, lambda: process_of(damaged, wait), "the successor has left the other behind")
            cable.mend()
            until(sweep, lambda: not far.titled("ray::"), "the node that was cut off has ended its processes")
            head.kill()
            killed = time.monotonic()
            ended = sweep.ended()
            assert time.monotonic() - killed < 60
        finally:
            sweep.kill()
    assert ended.code == 2
    assert ended.stderr == (
        f"error: the head of the Ray cluster at {nodes.address} has not answered for "
        f"{PATIENCE_OF_RAY / 2:g} s; once Ray is back, --resume continues from the records\n"
    )
    assert losses(ended.stdout) == [
        f"none seed {cut_off}: its process was lost with its node; resuming from its checkpoint"
    ]
    assert sorted(statuses(out).values())[-2:] == ["finished", "running"]
    status = read_status(RecordStore(str(out)))
    assert status is not None
    assert (status.state, status.exit_code) == ("failed", 2)
    assert status.message.startswith("the head of the Ray cluster")

    resumed = bench.run("ndabench.train", *arguments, "--seed", str(cut_off), "--resume")
    assert (resumed.code, resumed.complaints) == (0, "")
    assert "step 0/24" not in resumed.stdout, "it went on from its checkpoint"
    assert set(statuses(out).values()) == {"finished"}
    assert metrics(out) == reference.metrics_of(statuses(out))
    trials = {(trial.arm, trial.seed): trial.trial_id for trial in tiny().grid_trials()}
    rows = {row["trial_id"]: row for row in RecordStore(str(out)).read_trials().to_pylist()}
    assert rows[trials["none", cut_off]]["attempts"] == 3
    assert rows[trials["none", 1 - cut_off]]["attempts"] == 1


def is_cut_off(damaged: Bench, cable: Cable, far: Command, sweep: Command) -> int:
    """Cuts the far node off in the middle of its trial; returns the seed of that trial, once it has ended.

    Its first process wakes when its successor has come as far, and both go on at once.
    """
    waits = {seed: f"wait of none {seed} at 12" for seed in (0, 1)}
    until(sweep, lambda: all(process_of(damaged, wait) for wait in waits.values()), "two trials run")
    there = far.titled("ray::ImplicitFunc")
    (seed,) = (seed for seed, wait in waits.items() if process_of(damaged, wait) in there)
    cable.cut()
    until(sweep, lambda: "lost with its node" in sweep.output(), "the node is declared dead")
    for step in (12, 18):
        let_go_on(damaged, f"none {1 - seed} at {step}")
    until(sweep, lambda: process_of(damaged, waits[seed], 2), "the successor has come as far")
    assert far.titled("ray::ImplicitFunc") == there, "the first process lives, too"
    let_go_on(damaged, f"none {seed} at 12")
    return seed
