"""Trials of two workers on a cluster of several nodes: refused at once, waited for, and a node lost."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from driving import Bench, Command, metrics, wait_until

from ndabench.records import RecordStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
NODES = [
    {"num_cpus": 0, "resources": {"safe": 1}},  # where the drivers are
    {"num_cpus": 1},
    {"num_cpus": 1},
]
RESOURCES = {"workers": 2, "min_workers": 1, "placement": "strict_spread", "drivers_on": "safe"}
LONG = {"num_steps": 300, "checkpoint_every": 10, "log_every": 10}
"""Seconds, so that the loss of a node is noticed before a trial is through."""
EVALUATE = [{"name": "fd", "num_samples": 64, "every": 150}]
OCCUPIED = """
sweep() { "$PYTHON" -m ndabench.sweep "$FILE" --out "$1" "${@:2}"; }

echo "$RAYLETS" >"$FOLDER/raylets"
code=0; sweep "$FOLDER/never" --set resources.min_workers=2 --set resources.placement=strict_pack || code=$?
echo "refused with exit code $code"

"$PYTHON" "$HERE/occupy.py" 1 &
until [ -e "$FOLDER/occupied" ]; do sleep 0.1; done
sweep "$FOLDER/out"
wait
"""


def test_two_workers_on_two_nodes(bench: Bench) -> None:
    """One node is taken by somebody else at first, and is lost in the middle of a trial."""
    out = bench.folder / "out"
    environment = {
        **bench.environment,
        "PYTHON": sys.executable,
        "HERE": str(HERE),
        "FILE": bench.file(resources=RESOURCES, seeds=[0], task=LONG, evaluate=EVALUATE),
        "FOLDER": str(bench.folder),
    }
    arguments = [str(HERE / "several_nodes.py"), json.dumps(NODES), "bash", "-euc", OCCUPIED]
    command = Command(bench.folder, [sys.executable, *arguments], environment)
    try:
        wait_until(lambda: not command.running or "for room" in command.output(), "it waits for room")
        (bench.folder / "free").touch()
        wait_until(lambda: not command.running or any(out.glob("checkpoints/*/*.pt")), "a trial has begun")
        *_, lost = (bench.folder / "raylets").read_text().split()
        os.kill(int(lost), signal.SIGKILL)
        ended = command.ended()
        wait_until(lambda: not command.processes(), "no process of the cluster is left behind")
    finally:
        command.kill()
    assert ended.code == 0, ended.stdout + ended.stderr
    assert ended.stderr == (
        "error: resources: a trial asks for 2 workers × (1 CPU), all on one node, "
        "which this Ray can never give: one node has room for 1 of them at most\n"
    )
    assert ended.stdout.startswith("refused with exit code 2\n")
    assert not (bench.folder / "never").exists()
    asked = "1 to 2 workers × (1 CPU), each on a node of its own"
    waits = "1 trial waits for room: 2 workers × (1 CPU), each on a node of its own, free now: 1 of 2 CPU\n"
    assert waits + "there is room again\n" in ended.stdout
    assert f"2 trials, 0 of them done, 1 at a time, each {asked}" in ended.stdout
    assert "none seed 0: a process was lost; going on from the checkpoint" in ended.stdout
    assert ended.stdout.endswith("complete: 2 finished\n")
    steps: dict[str, list[int]] = {}
    for trial, step, metric in sorted(metrics(out)):
        if metric in ("loss_generator", "val_fd_classifier"):
            steps.setdefault(f"{trial.split('-')[0]} {metric}", []).append(step)
    whole = {"loss_generator": list(range(10, 301, 10)), "val_fd_classifier": [0, 150, 300]}
    assert steps == {f"{arm} {metric}": whole[metric] for arm in ("jigsaw", "none") for metric in whole}
    devices = [row["device"] for row in RecordStore(str(out)).read_trials().to_pylist()]
    assert devices == ["1 × cpu"] * 2  # on the node that was left
