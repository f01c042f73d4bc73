"""Ctrl-C and `kill` while Ray starts, before the first trial, in an evaluation and in the report.

tests/test_interruption.py has the phases before Ray and `ndabench.train`, test_train.py the training.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.driving import (
    Bench,
    Command,
    Reference,
    metrics,
    statuses,
    tiny,
    wait_until,
)
from tests.end_to_end.faults import let_go_on, process_of, sabotaged

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
IN_THE_BACKGROUND = ("env", "--ignore-signal=INT")
"""A shell that is not interactive starts what follows `&` like this: it ignores Ctrl-C."""
EVALUATING = {"trial": "none 0", "step": "evaluation", "what": "wait"}

Ready = Callable[[Command], bool]


def interrupted(
    bench: Bench, module: str, number: signal.Signals, ready: Ready, then: Callable[[], None] = lambda: None
) -> str:
    """What a command printed that got the signal once it was `ready`; it left no process and no folder.

    Where the sweep's folder exists already, the command resumes it.
    """
    bench.clear_orphans()
    file, out = bench.file(), bench.folder / "out"
    words = [module, file, "--out", str(out)]
    options = ["--no-check"] * (module != "ndabench.train") + ["--resume"] * out.exists()
    command = bench.start(*words, *options, prefix=IN_THE_BACKGROUND if number == signal.SIGTERM else ())
    try:
        wait_until(lambda: ready(command) or not command.running, "the phase has begun")
        assert command.running, command.ended()
        os.kill(command.pid, number)
        then()
        ended = command.ended()
        wait_until(lambda: not command.processes(), "no process is left behind")
    finally:
        command.kill()
    assert not bench.clear_orphans()
    assert (ended.code, ended.complaints) == (130, ""), ended
    *_, summary, advice = ended.stdout.splitlines()
    assert summary.startswith("interrupted: ")
    named = module.replace("pausing_report", "ndabench.sweep")
    assert advice == f"continue with: python -m {named} {file} --out {out} --resume"
    return ended.stdout


def stop_before_the_first_trial(bench: Bench) -> None:
    out, temporary = bench.folder / "out", Path(bench.environment["TMPDIR"])

    def ray_starts(command: Command) -> bool:
        return any(temporary.glob("ndabench-*/r/session_*/logs/gcs_server*"))

    def trials_start(command: Command) -> bool:
        return "0 of them done" in command.output()

    printed = interrupted(bench, "ndabench.sweep", signal.SIGTERM, ray_starts)
    assert "interrupted: no trial has begun\n" in printed
    assert not out.exists()
    interrupted(bench, "ndabench.sweep", signal.SIGINT, trials_start)
    assert set(statuses(out).values()) <= {"stopped"}


def stop_in_an_evaluation(bench: Bench, module: str) -> None:
    def evaluates(command: Command) -> bool:
        return process_of(bench, "wait of none 0 at evaluation") is not None

    def end_it() -> None:
        let_go_on(bench, "none 0 at evaluation")

    interrupted(sabotaged(bench, [EVALUATING]), module, signal.SIGTERM, evaluates, end_it)
    known = set(statuses(bench.folder / "out").values())
    assert "stopped" in known
    assert known <= {"stopped", "finished"}


def test_while_ray_starts_and_before_the_first_trial(bench: Bench) -> None:
    stop_before_the_first_trial(bench)


def test_while_train_evaluates(bench: Bench, reference: Reference) -> None:
    stop_in_an_evaluation(bench, "ndabench.train")
    out = bench.folder / "out"
    resumed = bench.run("ndabench.train", bench.file(), "--out", str(out), "--resume")
    assert (resumed.code, resumed.complaints) == (0, "")
    (trial,) = (t.trial_id for t in tiny().grid_trials() if t.arm == "none" and t.seed == 0)
    assert metrics(out) == reference.metrics_of([trial])


@pytest.mark.release
def test_a_sweep_that_was_interrupted_in_every_phase_equals_one_that_never_was(
    bench: Bench, reference: Reference
) -> None:
    stop_before_the_first_trial(bench)
    stop_in_an_evaluation(bench, "ndabench.sweep")

    begun, out = bench.folder / "report has begun", bench.folder / "out"
    path = ":".join([str(HERE), bench.environment.get("PYTHONPATH", "")])
    environment = {**bench.environment, "PYTHONPATH": path, "NDABENCH_TEST_REPORT": str(begun)}
    reporting = Bench(bench.folder, environment)
    printed = interrupted(reporting, "pausing_report", signal.SIGINT, lambda command: begun.exists())
    assert "interrupted: 4 finished\n" in printed

    resumed = bench.sweep(bench.file(), "--out", str(out), "--resume")
    assert (resumed.code, resumed.stderr) == (0, "")
    assert "4 trials, 4 of them done" in resumed.stdout
    assert metrics(out) == metrics(reference.out)
