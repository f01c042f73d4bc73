"""Trials of two workers on a cluster of several nodes: placed as asked, waited for, or refused at once."""

import json
import sys
from pathlib import Path

import pytest
from driving import Bench, Command, Reference, metrics, statuses, wait_until

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
NODES = [
    {"num_cpus": 0, "resources": {"safe": 1}},  # where the drivers are
    {"num_cpus": 1},
    {"num_cpus": 1},
]
RESOURCES = {"workers": 2, "placement": "strict_spread", "drivers_on": "safe"}
OCCUPIED = """
sweep() { "$PYTHON" -m ndabench.sweep "$FILE" --out "$1" "${@:2}"; }

code=0; sweep "$FOLDER/never" --set resources.placement=strict_pack || code=$?
echo "refused with exit code $code"

"$PYTHON" "$HERE/occupy.py" 1 &
until [ -e "$FOLDER/occupied" ]; do sleep 0.1; done
sweep "$FOLDER/out"
wait
"""


def test_two_workers_on_two_nodes(bench: Bench, reference: Reference) -> None:
    """One node is taken by somebody else at first."""
    file = bench.file(resources=RESOURCES, seeds=[0])
    environment = {
        **bench.environment,
        "PYTHON": sys.executable,
        "HERE": str(HERE),
        "FILE": file,
        "FOLDER": str(bench.folder),
    }
    arguments = [str(HERE / "several_nodes.py"), json.dumps(NODES), "bash", "-euc", OCCUPIED]
    command = Command(bench.folder, [sys.executable, *arguments], environment)
    try:
        wait_until(
            lambda: not command.running or "waits for room" in command.output(), "the sweep waits for room"
        )
        (bench.folder / "free").touch()
        ended = command.ended()
        wait_until(lambda: not command.processes(), "no process of the cluster is left behind")
    finally:
        command.kill()
    assert ended.code == 0, ended.stdout + ended.stderr
    asked = "2 workers × (1 CPU), "
    assert ended.stderr == (
        f"error: resources: a trial asks for {asked}all on one node, which this Ray can never give: "
        "one node has room for 1 of them at most\n"
    )
    assert ended.stdout.startswith("refused with exit code 2\n")
    assert not (bench.folder / "never").exists()
    waits = f"1 trial waits for room: {asked}each on a node of its own, free now: 1 of 2 CPU\n"
    assert waits + "there is room again\n" in ended.stdout
    assert f"2 trials, 0 of them done, 1 at a time, each {asked}each on a node of its own" in ended.stdout
    assert ended.stdout.endswith("complete: 2 finished\n")
    out = bench.folder / "out"
    trials = statuses(out)
    alone = {key: value for key, value in metrics(reference.out).items() if key[0] in trials}
    assert metrics(out) == pytest.approx(alone, rel=0.3)  # two workers add up in another order
