"""What goes wrong in a trial stays in that trial; what goes wrong with the whole sweep is one line."""

import html
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from driving import Bench, statuses, times_written, tiny

from ndabench.records import RecordStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_bad_trial_does_not_stop_the_others(bench: Bench) -> None:
    """One training leaves the finite numbers; one finds a strange checkpoint; one finds a torn one."""
    rates = [1e-4, 2e-4, 3e-4, 1e38]
    changes = {
        "arms": ["none"],
        "seeds": [0],
        "search": {"learning_rate": rates},
        "evaluate": [],
        "objective": None,
    }
    file, out = bench.file(**changes, task={"num_steps": 6}), bench.folder / "out"
    trials = tiny(**changes, task={"num_steps": 6}).grid_trials()
    good, strange, torn, diverging = (trial.trial_id for trial in trials)
    store = RecordStore(str(out))
    buffer = io.BytesIO()
    torch.save({"task": {"made_by": {"name": "another"}}, "seconds": 0.0, "num_images": 0}, buffer)
    store.write_bytes(f"checkpoints/{strange}/000000002.pt", buffer.getvalue())
    store.write_bytes(f"checkpoints/{torn}/000000002.pt", buffer.getvalue()[:100])

    ended = bench.sweep(file, "--out", str(out))
    assert (ended.code, ended.stderr) == (1, "")
    assert ended.stdout.endswith("complete: 1 diverged, 1 failed, 2 finished\n")
    assert statuses(out) == {
        good: "finished",
        torn: "finished",
        strange: "failed",
        diverging: "diverged",
    }
    errors = {row["trial_id"]: row["error"] for row in store.read_trials().to_pylist()}
    assert errors[strange].startswith("the checkpoint belongs to another training: ")
    assert " is nan at step " in errors[diverging]
    page = html.unescape((out / "report.html").read_text())
    for trial in (strange, diverging):
        assert errors[trial] in ended.stdout
        assert errors[trial] in page

    store.delete(f"checkpoints/{strange}")
    before = times_written(out, {good, torn, diverging})
    resumed = bench.sweep(file, "--out", str(out), "--resume")
    assert (resumed.code, resumed.stderr) == (0, ""), "a divergence is a result, a failure is tried again"
    assert "4 trials, 3 of them done" in resumed.stdout
    assert resumed.stdout.endswith("complete: 1 diverged, 3 finished\n")
    assert times_written(out, {good, torn, diverging}) == before


def test_a_disk_that_fills_up_in_a_sweep(bench: Bench, disk: Callable[[int], Path]) -> None:
    tiny_disk = disk(40)
    ended = bench.sweep(bench.file(evaluate=[], objective=None), "--out", str(tiny_disk))
    assert ended.code == 2
    assert ended.stderr.startswith(f"error: {tiny_disk}/")
    assert ended.stderr.endswith("cannot be written (the disk is full)\n")
    assert ended.stderr.count("\n") == 1


def test_more_gpus_than_there_are(bench: Bench) -> None:
    out = bench.folder / "out"
    ended = bench.sweep(bench.file(resources={"gpus_per_worker": 1000}), "--out", str(out))
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: resources: a trial asks for 1 worker × (1 CPU, 1000 GPU)")
    assert "which this cluster cannot provide: no node has 1000 GPU (the most is " in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not out.exists()
