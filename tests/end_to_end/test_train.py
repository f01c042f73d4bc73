"""One trial without Ray, killed and resumed; a sweep then finds it done, is stopped, and goes on.

As it goes on, the process of a trial is killed.
"""

import os
from pathlib import Path

import pytest

from ndabench.ownership import sole_driver
from ndabench.records import RecordStore
from tests.end_to_end.driving import (
    UNCHECKED_SWEEP,
    Bench,
    Reference,
    assert_stopped_in_order,
    in_the_middle,
    metrics,
    statuses,
    times_written,
    tiny,
    wait_until,
)
from tests.end_to_end.faults import losses, sabotaged

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def some_but_not_all(checkpoints: Path, last: int) -> bool:
    return checkpoints.is_dir() and any(int(file.stem) < last for file in checkpoints.glob("*.pt"))


def test_a_killed_trial_continues_and_then_a_stopped_sweep(
    bench: Bench, without_ray: Bench, reference: Reference
) -> None:
    file, out = bench.file(), bench.folder / "out"
    (trial,) = (t.trial_id for t in tiny().grid_trials() if t.arm == "jigsaw" and t.seed == 1)
    assert without_ray.sweep(file, "--out", str(out)).code == 1, "a sweep does need ray"
    assert not out.exists()
    trains_one(without_ray, out, trial, [file, "--arm", "jigsaw", "--seed", "1", "--out", str(out)])
    assert metrics(out) == reference.metrics_of([trial])

    is_stopped(bench, out, [file, "--out", str(out)])
    finished = {trial for trial, status in statuses(out).items() if status == "finished"}
    is_refused_while_another_is_at_work(bench, out, file)

    (out / "metrics" / f"{trial}.parquet").unlink()
    finished.remove(trial)
    before = times_written(out, finished)

    kill = {"trial": "negative 1", "step": 10, "what": "kill"}
    resumed = sabotaged(bench, [kill]).sweep(file, "--out", str(out), "--resume")
    assert (resumed.code, resumed.stderr) == (0, "")
    assert losses(resumed.stdout) == [
        "jigsaw λ=0.5 seed 1: its process was lost; resuming from its checkpoint"
    ]
    assert f"4 trials, {len(finished)} of them done" in resumed.stdout
    assert resumed.stdout.count("its metrics file is gone from the records; it runs again\n") == 1
    assert resumed.stdout.endswith("complete: 4 finished\n")
    assert times_written(out, finished) == before
    assert metrics(out) == metrics(reference.out)


def trains_one(bench: Bench, out: Path, trial: str, options: list[str]) -> None:
    """`ndabench.train` is killed after a checkpoint, and resumes from it."""
    command = bench.start("ndabench.train", *options)
    try:
        wait_until(
            lambda: some_but_not_all(out / "checkpoints" / trial, 24) or not command.running, "a checkpoint"
        )
    finally:
        command.kill()
    assert statuses(out) == {trial: "running"}
    resumed = bench.run("ndabench.train", *options, "--resume")
    assert (resumed.code, resumed.complaints) == (0, "")
    assert "jigsaw λ=0.5 seed 1: step 24/24 " in resumed.stdout
    assert "step 0/24" not in resumed.stdout
    assert resumed.stdout.endswith(f"records  {out}   ({trial})\n")


def is_stopped(bench: Bench, out: Path, options: list[str]) -> None:
    """Ctrl-C in the middle of a sweep that may use one CPU; `kill` stops the jobs of test_job.py."""
    (trained,) = statuses(out)
    before = times_written(out, {trained})
    one_cpu = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))
    command = bench.start(*UNCHECKED_SWEEP, *options, "--resume", prefix=one_cpu)
    try:
        wait_until(lambda: in_the_middle(out) or not command.running, "a sweep is in its middle")
        assert command.listens_on() == {"127.0.0.1"}
        assert not command.has_loaded("libtorch"), "the driver needs no PyTorch"
        command.interrupt()
        ended = command.ended()
        wait_until(lambda: not command.processes(), "no process is left behind")
    finally:
        command.kill()
    assert not bench.clear_orphans()
    assert_stopped_in_order(ended, options[0], out)
    assert "resources.max_concurrent is 2; 1 fit at a time\n" in ended.stdout
    assert "4 trials, 1 of them done, 1 at a time" in ended.stdout
    assert set(statuses(out).values()) == {"finished", "stopped"}
    assert times_written(out, {trained}) == before


def is_refused_while_another_is_at_work(bench: Bench, out: Path, file: str) -> None:
    """With one line, and nothing changed; test_storage.py has two drivers on an object store."""
    claim = (out / "sweep.yaml").read_bytes()
    with sole_driver(RecordStore(str(out))):
        refused = bench.sweep(file, "--out", str(out), "--resume", "--set", "seeds=[5]")
    assert refused.code == 2
    assert refused.stderr == f"error: {out}: another driver is at work here; wait, or stop it\n"
    assert (out / "sweep.yaml").read_bytes() == claim
