"""Why a trial was lost, in a few words for the log, derived from what Ray and Ray Train report."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.exceptions import RayTaskError

from ndabench.errors import OutOfMemoryError, UserError
from ndabench.orchestration.ray_private import WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError
from ndabench.records.trial_recorder import SupersededError, one_line

CAUSES = {
    "low on memory": "was ended by Ray, because its node ran out of memory",
    "node has died": "was lost with its node",
    "node is dead": "was lost with its node",
}
"""Phrases in Ray's explanation of an actor's death, and what the log says instead."""


def is_mistake(error: BaseException) -> bool:
    """Whether only the user can put it right, so that a restart would not help.

    A restart may find more of a device's memory free.
    """
    return isinstance(error, UserError) and not isinstance(error, SupersededError | OutOfMemoryError)


def process_fate(explanation: str) -> str:
    """What happened to a process that Ray declares dead; completes a sentence about the process."""
    return next((cause for phrase, cause in CAUSES.items() if phrase in explanation), "was lost")


def reason_of_workers(failures: Mapping[int, Exception], timeout: float) -> str:
    """Why the workers of one trial died; `timeout` is the seconds that a process may be silent.

    A worker whose process was lost is the reason: the others fail because they cannot reach it.
    """
    for failure in failures.values():
        if isinstance(failure, WorkerHealthCheckFailedError):
            return f"a worker's process {process_fate(str(failure.health_check_failure))}"
        if isinstance(failure, WorkerHealthCheckTimeoutError):
            return f"a worker's process {killed_after(timeout)}"
    return next((one_line(_in_the_worker(failure)) for failure in failures.values()), "its workers were lost")


def _in_the_worker(error: Exception) -> Exception:
    """The error that a worker raised, without the traceback that Ray makes its text."""
    return error.cause if isinstance(error, RayTaskError) and isinstance(error.cause, Exception) else error


def killed_after(seconds: float) -> str:
    """Completes a sentence about a process that was killed because it sent no heartbeat."""
    return f"sent no heartbeat for {seconds:g} s and was killed"


def reason_of_trial(trial: Any) -> str:
    """Why one of Tune's trials ended with an error: its own last report, or else Ray's account."""
    reported = (trial.last_result or {}).get("error")
    return reported or f"its process {process_fate(_explanation(trial))}"


def _explanation(trial: Any) -> str:
    """What Ray says. Tune keeps only a file of it."""
    with contextlib.suppress(OSError):
        return Path(trial.error_file).read_text() if trial.error_file else ""
    return ""
