"""What ends a sweep early, and which checkpoints stay."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ndabench.clean import clean
from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.ownership import take_ownership
from ndabench.planning.limits import GIB, BaselineWatch, Spending
from ndabench.planning.outcomes import Outcome
from ndabench.planning.retention import surplus
from ndabench.planning.sweep_file import Limits, SweepConfig
from ndabench.planning.sweep_state import ActiveTrial, TrialEnded, TrialInterrupted, TrialStarted
from ndabench.records import RecordStore
from ndabench.trials.config import Provenance, planned_row

SWEEP = parse(
    SweepConfig,
    {
        "name": "tiny",
        "task": {"name": "gan"},
        "data": {"name": "digits"},
        "arms": ["none", "jigsaw"],
        "seeds": [0, 1],
        "evaluate": [{"name": "fd"}],
        "objective": {"metric": "fd_classifier"},
    },
    "test",
)
NONE_0, JIGSAW_0, NONE_1, JIGSAW_1 = SWEEP.grid_trials()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_gpu_hours_are_those_of_earlier_drivers_and_of_running_trials() -> None:
    clock = Clock()
    spent = Spending(Limits(gpu_hours=3), 2, {NONE_0.trial_id: 3600.0}, lambda: 0, clock)
    assert spent.gpu_hours == 2
    spent.observe(TrialStarted(ActiveTrial(NONE_0)))
    spent.observe(TrialStarted(ActiveTrial(JIGSAW_0)))
    clock.now = 360
    assert spent.gpu_hours == pytest.approx(2.4)
    spent.observe(TrialEnded(ActiveTrial(NONE_0), "finished"))
    spent.observe(TrialInterrupted(ActiveTrial(JIGSAW_0)))
    clock.now = 9999
    assert spent.gpu_hours == pytest.approx(2.4)
    assert spent.why_stop() is None
    spent.observe(TrialStarted(ActiveTrial(JIGSAW_1)))
    clock.now += 1200
    assert spent.why_stop() == ("over a limit", "limits.gpu_hours: 3.07 of 3 GPU-hours are used; stopping")


def test_the_size_of_the_results_is_looked_at_now_and_then() -> None:
    clock, looks = Clock(), []

    def size() -> int:
        looks.append(clock.now)
        return 2 * GIB

    spent = Spending(Limits(disk_gib=2.5), 0, {}, size, clock)
    for clock.now in range(100):
        assert spent.why_stop() is None
    assert looks == [0, 30, 60, 90]
    assert Spending(Limits(disk_gib=2), 0, {}, size, clock).why_stop() == (
        "over a limit",
        "limits.disk_gib: the results take 2.00 of 2 GiB; stopping",
    )


def test_a_baseline_that_diverged_at_every_seed_ends_the_sweep() -> None:
    watch = BaselineWatch(SWEEP, [Outcome(NONE_0, "diverged"), Outcome(JIGSAW_0, "finished")])
    assert watch.why_stop() is None
    watch.observe(TrialEnded(ActiveTrial(JIGSAW_1), "diverged"))
    assert watch.why_stop() is None
    watch.observe(TrialEnded(ActiveTrial(NONE_1), "diverged"))
    ending, line = watch.why_stop() or ("", "")
    assert ending == "no baseline"
    assert "'none' diverged at every seed" in line


def test_one_seed_that_trains_is_enough() -> None:
    watch = BaselineWatch(SWEEP, [Outcome(NONE_0, "finished")])
    watch.observe(TrialEnded(ActiveTrial(NONE_1), "diverged"))
    assert watch.why_stop() is None
    without = SWEEP.model_copy(update={"arms": SWEEP.arms[1:]})
    assert BaselineWatch(without, []).why_stop() is None


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    """Four trials with two checkpoints each: jigsaw is better at seed 1, and none 1 has not ended."""
    store = RecordStore(str(tmp_path))
    take_ownership(store, SWEEP, resume=False, data_hash="d")
    for trial, value in ((NONE_0, 3.0), (JIGSAW_0, 2.0), (NONE_1, 1.0), (JIGSAW_1, 1.5)):
        status = "stopped" if trial is NONE_1 else "finished"
        store.write_trial(replace(planned_row(trial, Provenance("tiny")), status=status))  # type: ignore[arg-type]
        measured = Measurement(value, "lower", kind="metric", metric="fd_classifier", split="validation")
        store.write_progress("tiny", trial.trial_id, 10, {"val_fd_classifier": measured}, {})
        for step in (5, 10):
            store.write_bytes(f"checkpoints/{trial.trial_id}/{step:09d}.pt", bytes(2**20))
    return store


def left(store: RecordStore) -> set[tuple[str, int]]:
    of = {trial.trial_id: trial.label for trial in SWEEP.grid_trials()}
    parts = [path.split("/") for path in store.list("checkpoints")]
    return {(of[trial_id], int(name[:-3])) for _, trial_id, name in parts}


RUNNING = {(NONE_1.label, 5), (NONE_1.label, 10)}


@pytest.mark.parametrize(
    ("kept", "stays"),
    [
        ("last", {(NONE_0.label, 10), (JIGSAW_0.label, 10), (JIGSAW_1.label, 10)}),
        ("best", {(NONE_0.label, 10), (JIGSAW_1.label, 10)}),
        ("none", set()),
    ],
)
def test_clean_keeps_what_was_asked_and_all_of_trials_that_have_not_ended(
    store: RecordStore, kept: str, stays: set[tuple[str, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    before = left(store)
    clean(store.root, kept, dry_run=True)
    assert left(store) == before
    number = 6 - len(stays)
    assert f"would delete {number} of 8 checkpoints, {number}.0 MiB" in capsys.readouterr().out
    clean(store.root, kept)
    assert left(store) == stays | RUNNING
    assert f"deleted {number} of 8 checkpoints" in capsys.readouterr().out
    assert surplus(store, SWEEP, "last") == []
    clean(store.root, kept, json_=True)
    assert json.loads(capsys.readouterr().out)["checkpoints"] == []
    assert left(store) == stays | RUNNING


def test_a_folder_without_a_sweep_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no sweep here"):
        clean(str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(UserError, match="--checkpoints: unknown choice 'bst'; did you mean 'best'"):
        clean(str(tmp_path), "bst")
