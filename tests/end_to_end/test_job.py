"""The same sweep on a cluster: submitted as a job, then resumed by a driver that joins with `--address`."""

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest
from driving import Bench, Command, Ended, Reference, metrics, statuses, times_written, wait_until

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
BOTH = """
ray job submit --working-dir . -- python -m ndabench.sweep "$1" --out "$2"
cp -rp "$2" "$2-of-the-job"
python -m ndabench.sweep "$1" --out "$2" --resume --address "127.0.0.1:$RAY_PORT"
"""


def free_ports(count: int) -> list[str]:
    """Ports above those that Ray hands to its workers."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _ended(command: Command) -> Ended:
    try:
        ended = command.ended()
        wait_until(lambda: not command.processes(), "no process of the node is left behind")
    finally:
        command.kill()
    return ended


def test_a_sweep_on_a_cluster(bench: Bench, reference: Reference) -> None:
    scripts = Path(sys.executable).parent
    if shutil.which("ray", path=str(scripts)) is None:
        pytest.skip("the ray command is not installed beside this Python")
    pytest.importorskip("ray.dashboard.optional_deps", reason="ray[default] is not installed")
    ports = dict(zip(("RAY_PORT", "RAY_DASHBOARD_PORT", "RAY_CLIENT_PORT"), free_ports(3), strict=True))
    environment = {**bench.environment, **ports, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    arguments = ["bash", "-euc", BOTH, "both", reference.file, str(bench.folder / "out")]
    ended = _ended(Command(bench.folder, [str(HERE / "with_head_node.sh"), *arguments], environment))
    if "WebSocket connection closed unexpectedly" in ended.stderr:  # Ray's own log stream broke, not the job
        shutil.rmtree(bench.folder / "out", ignore_errors=True)
        ended = _ended(Command(bench.folder, [str(HERE / "with_head_node.sh"), *arguments], environment))
    assert ended.code == 0, ended.stdout + ended.stderr
    assert "4 trials, 0 of them done" in ended.stdout
    assert "4 trials, 4 of them done" in ended.stdout
    assert ended.stdout.count("complete: 4 finished\n") == 2
    assert "' succeeded" in ended.stdout
    out, by_job = bench.folder / "out", bench.folder / "out-of-the-job"
    trials = set(statuses(out))
    assert times_written(out, trials) == times_written(by_job, trials)
    assert metrics(out) == metrics(reference.out)
    assert (by_job / "report.html").is_file()
