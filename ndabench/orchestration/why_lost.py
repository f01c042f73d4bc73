"""Why a trial was lost, in a few words for a line of the log: made of what Ray and Ray Train say."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError

from ndabench.errors import UserError
from ndabench.records.trial_recorder import SupersededError, one_line

SIGNS = {
    "low on memory": "was ended by Ray, because its node ran out of memory",
    "node has died": "was lost with its node",
    "node is dead": "was lost with its node",
}
"""Words of Ray's explanation of an actor's death, and what they mean."""


def is_mistake(error: BaseException) -> bool:
    """Whether the user must put it right: to try again would not help."""
    return isinstance(error, UserError) and not isinstance(error, SupersededError)


def fate(explanation: str) -> str:
    """What became of a process whose actor Ray declares dead, for a sentence that begins with the process."""
    return next((meaning for sign, meaning in SIGNS.items() if sign in explanation), "was lost")


def of_workers(failures: Mapping[int, Exception], silence: float) -> str:
    """Of what the workers of one trial died.

    Those whose process was lost come first: the others then fail of not reaching them.
    """
    for failure in failures.values():
        if isinstance(failure, WorkerHealthCheckFailedError):
            return f"a worker's process {fate(str(failure.health_check_failure))}"
        if isinstance(failure, WorkerHealthCheckTimeoutError):
            return f"a worker's process {silent(silence)}"
    return next(map(one_line, failures.values()), "its workers were lost")


def silent(seconds: float) -> str:
    return f"gave no sign of life for {seconds:g} s and was killed"


def of_trial(trial: Any) -> str:
    """Why one of Tune's trials ended with an error: what it told itself, else what became of its process."""
    told = (trial.last_result or {}).get("error")
    return told or f"its process {fate(_explanation(trial))}"


def _explanation(trial: Any) -> str:
    """Ray's. Tune keeps no more of an error than a file."""
    with contextlib.suppress(OSError):
        return Path(trial.error_file).read_text() if trial.error_file else ""
    return ""
