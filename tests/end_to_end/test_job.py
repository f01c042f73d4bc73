"""A sweep on a cluster: submitted as a job, stopped, gone on with as another job, joined with `--address`."""

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from tests.end_to_end.driving import (
    Bench,
    Command,
    Ended,
    Reference,
    in_the_middle,
    metrics,
    statuses,
    times_written,
    wait_until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
PATIENT = '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}'
JOBS = """
submit() { ray job submit --working-dir . "$@"; }
sweep="python -m ndabench.sweep --no-check $1 --out $2"

submit --no-wait --submission-id first --runtime-env-json "$PATIENT" -- $sweep
python -c "
import pathlib, time
from ray.job_submission import JobSubmissionClient
client = JobSubmissionClient()
print('ready to stop it', flush=True)
while not pathlib.Path('$2-stop').exists():
    time.sleep(0.02)
client.stop_job('first')
while not client.get_job_status('first').is_terminal():
    time.sleep(0.2)
print('the first job is', client.get_job_status('first').value)
"
ray job logs first >"$2-log"
cp -rp "$2" "$2-of-the-first"

submit -- $sweep --resume
cp -rp "$2" "$2-of-the-second"
$sweep --resume --address "127.0.0.1:$RAY_PORT"
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


def _jobs(bench: Bench, file: str, environment: dict[str, str]) -> Ended:
    """`JOBS` with a head node, the first of them stopped in the middle of the sweep."""
    out = bench.folder / "out"
    arguments = [str(HERE / "with_head_node.sh"), "bash", "-euc", JOBS, "jobs", file, str(out)]
    command = Command(bench.folder, arguments, environment)
    try:
        wait_until(
            lambda: not command.running or ("ready" in command.output() and in_the_middle(out)),
            "the first job is in its middle",
        )
        (bench.folder / "out-stop").touch()
        ended = command.ended()
        wait_until(lambda: not command.processes(), "no process of the node is left behind")
    finally:
        command.kill()
    return ended


def test_a_sweep_on_a_cluster(bench: Bench, reference: Reference) -> None:
    scripts = Path(sys.executable).parent
    if shutil.which("ray", path=str(scripts)) is None:
        pytest.skip("the ray command is not installed with this Python")
    pytest.importorskip("ray.dashboard.optional_deps", reason="ray[default] is not installed")
    ports = dict(zip(("RAY_PORT", "RAY_DASHBOARD_PORT", "RAY_CLIENT_PORT"), free_ports(3), strict=True))
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    out = bench.folder / "out"
    environment = {**bench.environment, **ports, "PATH": path, "PATIENT": PATIENT}
    file = bench.file(resources={"max_concurrent": 1})
    ended = _jobs(bench, file, environment)
    if "WebSocket connection closed unexpectedly" in ended.stderr:  # Ray's own log stream broke, not the job
        for left in bench.folder.glob("out*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        ended = _jobs(bench, file, environment)
    assert ended.code == 0, ended.stdout + ended.stderr
    assert "the first job is STOPPED\n" in ended.stdout
    log = (bench.folder / "out-log").read_text()
    assert "4 trials, 0 of them done, 1 at a time" in log
    assert "[1/4] " in log
    assert f"continue with: python -m ndabench.sweep {file} --out {out} --resume\n" in log
    first = statuses(bench.folder / "out-of-the-first")
    assert set(first.values()) == {"finished", "stopped"}

    finished = {trial for trial, status in first.items() if status == "finished"}
    assert f"4 trials, {len(finished)} of them done" in ended.stdout
    assert times_written(out, finished) == times_written(bench.folder / "out-of-the-first", finished)
    assert "4 trials, 4 of them done" in ended.stdout
    assert ended.stdout.count("complete: 4 finished\n") == 2
    by_jobs = bench.folder / "out-of-the-second"
    trials = set(statuses(out))
    assert times_written(out, trials) == times_written(by_jobs, trials)
    assert metrics(out) == metrics(reference.out)
    assert (by_jobs / "report.html").is_file()
