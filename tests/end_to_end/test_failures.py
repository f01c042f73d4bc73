"""What goes wrong in a trial stays in that trial; what goes wrong with the whole sweep is one line."""

import html
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ndabench.records import RecordStore
from tests.end_to_end.driving import Bench, statuses, tiny
from tests.end_to_end.faults import sabotaged

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_bad_trial_does_not_stop_the_others(bench: Bench) -> None:
    """One training leaves the finite numbers; one finds a strange checkpoint; one finds a torn one."""
    changes = {
        "arms": ["none"],
        "seeds": [0, 1, 2, 3],
        "evaluate": [],
        "objective": None,
        "resources": {"max_concurrent": 1},
        "task": {"num_steps": 6},
    }
    file, out = bench.file(**changes), bench.folder / "out"
    good, strange, torn, diverging = (trial.trial_id for trial in tiny(**changes).grid_trials())
    store = RecordStore(str(out))
    buffer = io.BytesIO()
    another = {"made_by": {"name": "another"}, "step": 2, "streams": {}}
    torch.save({"trial": "{}", "task": another, "seconds": 0.0, "num_images": 0}, buffer)
    store.write_bytes(f"checkpoints/{strange}/000000002.pt", buffer.getvalue())
    store.write_bytes(f"checkpoints/{torn}/000000002.pt", buffer.getvalue()[:100])

    nan = {"trial": "none 3", "step": 2, "what": "spoil weights"}
    ended = sabotaged(bench, [nan]).sweep(file, "--out", str(out))
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


@pytest.mark.release
def test_a_disk_that_fills_up_in_a_sweep(bench: Bench, disk: Callable[[int], Path]) -> None:
    tiny_disk = disk(40)
    file = bench.file(arms=["none"], seeds=[0], evaluate=[], objective=None, track={"tensorboard": False})
    ended = bench.sweep(file, "--out", str(tiny_disk))
    assert ended.code == 2
    assert ended.stderr.startswith(f"error: {tiny_disk}/")
    assert ended.stderr.endswith("cannot be written (the disk is full)\n")
    assert ended.stderr.count("\n") == 1
