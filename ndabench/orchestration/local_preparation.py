"""Prepares a sweep in a child process, which begins before this process has imported Ray and started it.

On two cores both take about as long, so that a sweep begins a third sooner.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ndabench.errors import UserError
from ndabench.orchestration.environment import absolute_settings, put_on_path, ray_starts_here
from ndabench.planning.sweep_file import SweepConfig
from ndabench.scratch import scratch_folder
from ndabench.trials.config import Cost, Prepared

Answer = tuple[str | None, Prepared | None]
"""The line of a `UserError`, or what preparing found."""
STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
"""What libraries print is no output of the sweep: in the child, it goes to standard error."""


def found(answer: Answer) -> Prepared:
    """What preparing found; `UserError` for the mistake that it met."""
    problem, prepared = answer
    if problem is not None:
        raise UserError(problem)
    assert prepared is not None
    return prepared


def trials_to_prepare(config: SweepConfig) -> list[str]:
    """The trials, as JSON, that need all that any trial of the sweep needs."""
    return [
        config.trial(arm, setting, config.seeds[0]).to_json()
        for arm in config.arms
        for setting in config.boundary_settings(arm)
    ]


class LocalPreparation:
    """A child process that prepares what the trials of a sweep need; `result` waits for it."""

    def __init__(self, folder: Path, child: "subprocess.Popen[bytes]") -> None:
        self._folder, self._child = folder, child

    def result(self) -> Prepared:
        """Raises `UserError` for a mistake in the sweep, its data or its evaluations."""
        code = self._child.wait()
        answer = self._folder / "answer.json"
        if not answer.exists():
            if code == -signal.SIGKILL:
                raise UserError(
                    "the process that prepares the sweep was killed, most likely because memory ran out; "
                    "make the data, the networks or the batch smaller (--no-check skips the training steps)"
                )
            raise RuntimeError(f"the process that prepares the sweep ended with exit code {code}")
        problem, prepared = json.loads(answer.read_text())
        if prepared is None:
            return found((problem, None))
        data_hash, checked, notes, negative_data, counts, costs = prepared
        costs = [Cost(*cost) for cost in costs]
        return found((problem, Prepared(data_hash, checked, tuple(notes), negative_data, counts, costs)))


@contextlib.contextmanager
def preparing(
    config: SweepConfig, address: str | None, *, check: bool, timed: bool = False, quiet: bool = False
) -> Iterator[LocalPreparation | None]:
    """Begins to prepare a sweep, and with `check` to try two steps of its trials.

    Yields None where a worker must do it: where `address` is that of a cluster, Ray has already started, or
    the trials need a GPU. If it is `quiet`, what the child logs is dropped. The child ends with the block.
    """
    if not ray_starts_here(address) or config.resources.gpus_per_worker:
        yield None
        return
    absolute_settings()
    put_on_path(config.plugins)
    # the child's log is output of the sweep
    own_lines = os.open(os.devnull, os.O_WRONLY) if quiet else os.dup(STANDARD_OUTPUT)
    with scratch_folder() as folder, os.fdopen(own_lines, "wb"):
        request = {
            "trials": trials_to_prepare(config),
            "num_workers": config.resources.workers,
            "check": check,
            # all the threads of this machine, unless it is timed; a Ray task would have those of one worker
            "timed_threads": max(1, int(config.resources.cpus_per_worker)) if timed else 0,
            "log": own_lines,
        }
        (folder / "request.json").write_text(json.dumps(request))
        child = subprocess.Popen(
            [sys.executable, "-m", "ndabench.orchestration.preparation_process", str(folder)],
            stdin=subprocess.PIPE,  # closes when this process ends, and with it the child
            stdout=STANDARD_ERROR,
            pass_fds=[own_lines],
            start_new_session=True,  # Ctrl-C interrupts the driver, which then ends the child
        )
        with child:
            try:
                yield LocalPreparation(folder, child)
            finally:
                child.kill()
