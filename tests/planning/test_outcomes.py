"""What the records say of trials that have ended, for the plan and for a resumed sweep."""

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from ndabench.config import parse
from ndabench.measurement import Measurement
from ndabench.planning.outcomes import (
    Outcome,
    RecordedValues,
    count_ended,
    not_in_file,
    outcome_of,
    recorded_outcomes,
    recorded_values,
    reopen,
    watched_metrics,
)
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.records.schema import Status
from ndabench.trials.checkpoints import has_checkpoint
from ndabench.trials.config import Provenance, TrialConfig, planned_row

SWEEP = parse(
    SweepConfig,
    {
        "name": "tiny",
        "task": {"name": "gan"},
        "data": {"name": "digits"},
        "arms": ["none"],
        "seeds": [0, 1, 2, 3, 4],
        "evaluate": [{"name": "fd"}],
        "objective": {"metric": "fd_classifier"},
    },
    "test",
)
FINISHED, PRUNED, STOPPED, FAILED, UNRECORDED = SWEEP.grid_trials()


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    store = RecordStore(str(tmp_path))
    endings: tuple[tuple[TrialConfig, Status, str], ...] = (
        (FINISHED, "finished", ""),
        (PRUNED, "pruned", "stopped early by the scheduler"),
        (STOPPED, "stopped", "interrupted"),
        (FAILED, "failed", "no"),
    )
    for trial, status, error in endings:
        row = planned_row(trial, Provenance("tiny"))
        store.write_trial(replace(row, status=status, error=error))
    for step, value in ((5, 7.0), (9, 3.0)):
        measured = {
            "val_fd_classifier": Measurement(
                value, kind="metric", metric="fd_classifier", split="validation"
            ),
            "fd_classifier": Measurement(99.0, kind="metric", metric="fd_classifier", split="test"),
        }
        store.write_progress("tiny", FINISHED.trial_id, step, measured, {})
    return store


def test_recorded_outcomes_have_the_last_validated_value(store: RecordStore) -> None:
    outcomes = {one.trial.trial_id: one for one in recorded_outcomes(SWEEP, store)}
    assert outcomes == {
        FINISHED.trial_id: Outcome(FINISHED, "finished", 3.0),
        PRUNED.trial_id: Outcome(PRUNED, "pruned"),
        STOPPED.trial_id: Outcome(STOPPED, "stopped"),
        FAILED.trial_id: Outcome(FAILED, "failed"),
    }
    assert count_ended(outcomes.values()) == {"finished": 1, "pruned": 1}


def test_the_recorded_values_of_trials_in_the_order_of_their_starts(store: RecordStore) -> None:
    for minute, trial in enumerate((PRUNED, FINISHED)):
        row = store.read_trial(trial.trial_id)
        assert row is not None
        store.write_trial(replace(row, started=datetime(2026, 3, 1, 9, minute, tzinfo=timezone.utc)))
    value = Measurement(8.0, kind="metric", metric="fd_classifier", split="validation")
    store.write_progress("tiny", PRUNED.trial_id, 5, {"val_fd_classifier": value}, {})
    store.write_progress("tiny", PRUNED.trial_id, 7, {"loss_generator": Measurement(0.5)}, {})
    store.write_progress("tiny", STOPPED.trial_id, 2, {"val_fd_classifier": value}, {})
    assert recorded_values(SWEEP, store) == [
        RecordedValues(PRUNED, True, ((5, 8.0),), 7),
        RecordedValues(FINISHED, True, ((5, 7.0), (9, 3.0)), 9),
        RecordedValues(STOPPED, False, ((2, 8.0),), 2),
    ]


def test_a_finished_trial_whose_metrics_are_gone_runs_again_from_scratch(store: RecordStore) -> None:
    assert store.without_metrics(store.read_trials()) == []
    store.compact(FINISHED.trial_id)
    assert store.without_metrics(store.read_trials()) == []
    store.write_bytes(f"checkpoints/{FINISHED.trial_id}/000000009.pt", b"its last step")
    store.delete(f"metrics/{FINISHED.trial_id}.parquet")
    assert store.without_metrics(store.read_trials()) == [FINISHED.trial_id], "the others have not finished"
    assert reopen(store, FINISHED.trial_id) == FINISHED
    assert not has_checkpoint(store, FINISHED.trial_id), "from it nothing would be measured again"
    assert not any(one.ended for one in recorded_outcomes(SWEEP, store) if one.trial == FINISHED)
    assert store.without_metrics(store.read_trials()) == []


def test_a_trial_that_evaluates_nothing_misses_no_metrics(store: RecordStore) -> None:
    unevaluated = replace(planned_row(FINISHED, Provenance("tiny")), status="finished", config_json="{}")
    store.write_trial(replace(unevaluated, trial_id="untrained-1"))
    store.write_trial(replace(unevaluated, trial_id="damaged-1", config_json="["))
    assert store.without_metrics(store.read_trials()) == []


def test_the_outcome_of_a_trial_that_has_just_left_its_process(store: RecordStore) -> None:
    watched = ("val_fd_classifier",)
    assert outcome_of(FINISHED, 2.0, store, watched) == Outcome(FINISHED, "finished", 2.0)
    assert outcome_of(FINISHED, None, store, watched) == Outcome(FINISHED, "finished", 3.0), "as recorded"
    assert outcome_of(FINISHED, None, store, ()) == Outcome(FINISHED, "finished")
    assert outcome_of(FAILED, None, store, watched) == Outcome(FAILED, "failed")
    assert outcome_of(UNRECORDED, None, store, watched) == Outcome(UNRECORDED, "failed")
    store.write_trial(planned_row(UNRECORDED, Provenance("tiny")))
    assert outcome_of(UNRECORDED, 1.0, store, watched) == Outcome(UNRECORDED, "stopped", 1.0), "still running"


def test_an_objective_of_several_metrics_has_the_seconds_of_the_row(store: RecordStore) -> None:
    row = store.read_trial(FINISHED.trial_id)
    assert row is not None
    store.write_trial(replace(row, seconds=12.5))
    objective = {"metric": ["fd_classifier", "seconds"]}
    config = parse(SweepConfig, {**SWEEP.model_dump(mode="json", by_alias=True), "objective": objective}, "s")
    assert watched_metrics(config) == ("val_fd_classifier", "seconds")
    both = Outcome(FINISHED, "finished", 3.0, (12.5,))
    assert outcome_of(FINISHED, None, store, watched_metrics(config)) == both
    assert replace(both, value=2.0) == outcome_of(FINISHED, 2.0, store, watched_metrics(config))
    recorded = {one.trial.trial_id: one for one in recorded_outcomes(config, store)}
    assert recorded[FINISHED.trial_id] == both
    assert recorded[FINISHED.trial_id].values == (3.0, 12.5)
    assert recorded[PRUNED.trial_id].values == (), "it has neither"


def test_what_an_earlier_file_had_and_this_one_has_not_is_said() -> None:
    narrow = parse(SweepConfig, {**SWEEP.model_dump(mode="json", by_alias=True), "seeds": [4]}, "test")
    other_arm = FINISHED.model_copy(update={"arm": "gone", "seed": 4})
    recorded = [Outcome(FINISHED, "finished"), Outcome(FAILED, "failed"), Outcome(other_arm, "finished")]
    assert list(not_in_file(narrow, recorded)) == [
        "not in this file, and left out of its tables: finished trials of seed 0; "
        "`ndabench report DIR --all-seeds` counts them in",
        "not in this file, but in its tables: the finished trials of gone",
    ]
    assert list(not_in_file(SWEEP, recorded[:2])) == []
