"""A whole sweep under Ray, as a user runs it; test_train.py stops one, test_storage.py kills one."""

import json
import shutil
from collections import Counter

import pytest

from ndabench.records import RecordStore, read_status
from tests.end_to_end.driving import Bench, Reference, metrics, name_of, statuses, times_written

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_sweep_runs_to_its_end(reference: Reference) -> None:
    assert (reference.ended.code, reference.ended.stderr) == (0, "")
    printed = reference.ended.stdout
    assert "4 trials, 0 of them done, 2 at a time, each 1 worker × (1 CPU)" in printed
    for label in ("none seed 0", "none seed 1", "jigsaw λ=0.5 seed 0", "jigsaw λ=0.5 seed 1"):
        assert f"{label}: finished val_fd_classifier " in printed
    assert "fd_classifier ↓ lower is better, test split" in printed
    assert f"records  {reference.out} (trials, metrics, artifacts)\n" in printed
    assert f"report   {reference.out}/report.html\n" in printed
    assert printed.endswith("complete: 4 finished\n")
    assert "<html" in (reference.out / "report.html").read_text()
    status = read_status(RecordStore(str(reference.out)))
    assert status is not None
    assert (status.state, status.exit_code, status.running) == ("complete", 0, ())
    assert (status.trials["total"], status.trials["finished"]) == (4, 4)


def test_the_records_of_a_sweep_are_whole(reference: Reference) -> None:
    store = RecordStore(str(reference.out))
    rows = store.read_trials().to_pylist()
    assert {(row["arm"], row["lambda"], row["seed"]) for row in rows} == {
        ("none", 1.0, 0),
        ("none", 1.0, 1),
        ("jigsaw", 0.5, 0),
        ("jigsaw", 0.5, 1),
    }
    for row in rows:
        assert row["status"] == "finished"
        assert row["finished"] > row["started"]
        assert row["seconds"] > 0
        assert row["images_per_second"] > 0
        task = json.loads(row["config_json"])["task"]
        seen = task["num_steps"] * task["num_discriminator_steps"] * task["batch_size"]
        assert row["images_judged"] == seen * (2 if row["arm"] == "none" else 3)
    steps = Counter(
        (row["trial_id"], name_of(row))
        for row in store.read_metrics().to_pylist()
        if name_of(row) in ("fd_classifier", "val_fd_classifier", "loss_generator")
    )
    assert len(metrics(reference.out)) == store.read_metrics().num_rows
    for row in rows:
        assert steps[row["trial_id"], "val_fd_classifier"] == 4  # steps 0, 8, 16, 24
        assert steps[row["trial_id"], "fd_classifier"] == 1
        assert steps[row["trial_id"], "loss_generator"] == 12
    files = {(row["kind"], row["step"]) for row in store.read_artifacts().to_pylist()}
    assert files == {("samples", 0), ("samples", 24), ("negatives", 0)}


def test_a_finished_sweep_is_not_run_again(reference: Reference, bench: Bench) -> None:
    """Not by accident; test_job.py resumes one on purpose."""
    out = reference.out
    before = times_written(out, set(statuses(out)))
    again = bench.sweep(reference.file, "--out", str(out))
    assert (again.code, again.stdout) == (2, "")
    assert again.stderr == (
        f"error: {out} already holds this sweep: continue it with --resume, or choose another --out\n"
    )
    assert times_written(out, set(statuses(out))) == before


@pytest.mark.release
def test_finished_trials_are_measured_once_more(reference: Reference, bench: Bench) -> None:
    out = shutil.copytree(reference.out, bench.folder / "measured")
    command = ("ndabench.evaluate", str(out), "--set", "evaluate=[{name: fd, num_samples: 40, as: again}]")
    ended = bench.run(*command)
    assert (ended.code, ended.stderr) == (0, "")
    assert "none seed 1: finished (val_fd_classifier_again " in ended.stdout
    assert "fd_classifier_again ↓ lower is better, test split" in ended.stdout
    rows = RecordStore(str(out)).read_metrics().to_pylist()
    assert len({row["trial_id"] for row in rows if row["label"] == "again"}) == 4
    assert "nothing to measure: 4 finished trials have these values" in bench.run(*command).stdout
