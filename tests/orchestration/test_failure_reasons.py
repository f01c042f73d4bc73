"""What the log says of a trial that was lost, derived from what Ray says."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.exceptions import RayTaskError

from ndabench.errors import OutOfMemoryError, UserError
from ndabench.orchestration.failure_reasons import (
    is_mistake,
    process_fate,
    reason_of_trial,
    reason_of_workers,
)
from ndabench.orchestration.ray_private import WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError
from ndabench.records.trial_recorder import SupersededError

KILLED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit "
    "detail: Worker unexpectedly exits with a connection error code 2. End of file. Some common causes "
    "include: (1) the process was killed by the OOM killer due to high memory usage, (2) ray stop --force."
)
NODE = "The actor died because its node has died. Node Id: 2a1b\n\tthe actor's node was terminated"
MEMORY = "Worker exit detail: 1 worker(s) were killed due to the node running low on memory."


@pytest.mark.parametrize(
    ("explanation", "said"),
    [
        (KILLED, "was lost"),
        (NODE, "was lost with its node"),
        (MEMORY, "was ended by Ray, because its node ran out of memory"),
        ("", "was lost"),
    ],
)
def test_what_became_of_a_process(explanation: str, said: str, tmp_path: Path) -> None:
    assert process_fate(explanation) == said
    file = tmp_path / "error.txt"
    file.write_text(explanation)
    trial = SimpleNamespace(last_result={"step": 3}, error_file=str(file))
    assert reason_of_trial(trial) == f"its process {said}"


def test_what_a_trial_told_itself_comes_first() -> None:
    told = "ValueError: no (x.py:3)"
    assert reason_of_trial(SimpleNamespace(last_result={"error": told}, error_file=None)) == told
    assert reason_of_trial(SimpleNamespace(last_result=None, error_file=None)) == "its process was lost"
    gone = SimpleNamespace(last_result=None, error_file="/nowhere/error.txt")
    assert reason_of_trial(gone) == "its process was lost"


def test_the_worker_that_was_lost_is_named_before_those_that_missed_it() -> None:
    collateral = RuntimeError("Connection closed by peer")
    lost = WorkerHealthCheckFailedError("A worker health check failed.", RuntimeError(NODE))
    silent = WorkerHealthCheckTimeoutError("A worker health check has been hanging")
    assert reason_of_workers({0: collateral, 1: lost}, 120) == "a worker's process was lost with its node"
    told = "a worker's process sent no heartbeat for 120 s and was killed"
    assert reason_of_workers({0: collateral, 1: silent}, 120) == told
    assert reason_of_workers({0: collateral}, 120) == "RuntimeError: Connection closed by peer"


def test_a_worker_s_error_is_said_without_ray_s_traceback() -> None:
    failure = RayTaskError("execute", "\x1b[36mray::execute\x1b[39m (pid=7)\n  File …", ValueError("no peer"))
    assert reason_of_workers({0: failure.as_instanceof_cause()}, 120) == "ValueError: no peer"


def test_only_what_the_user_can_mend_is_a_mistake() -> None:
    assert is_mistake(UserError("no such file"))
    assert not is_mistake(SupersededError("taken over"))
    assert not is_mistake(OutOfMemoryError("a restart may find more of it free"))
    assert not is_mistake(ValueError("x"))
