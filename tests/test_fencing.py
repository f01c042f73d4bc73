"""A process that was cut off and still runs stops writing once it can know of its successor."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore, TrialRow
from ndabench.records.trial_recorder import SupersededError, close_row, fail_row
from ndabench.tasks.registry import TASKS
from ndabench.tasks.task import Progress
from ndabench.trials.config import Provenance, TrialConfig, planned_row
from ndabench.trials.run import run_trial
from tests.command_lines import TINY


def make_trial() -> TrialConfig:
    task = {**TINY["task"], "num_steps": 6, "checkpoint_every": 2, "log_every": 1}
    return parse(SweepConfig, {**TINY, "task": task, "arms": ["none"]}, "tiny").grid_trials()[0]


TRIAL = make_trial()


def run(store: RecordStore) -> Generator[Progress]:
    return run_trial(TRIAL, store, Provenance("tiny"), Workers())


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path))


def row(store: RecordStore) -> TrialRow:
    found = store.read_trial(TRIAL.trial_id)
    assert found is not None
    return found


def files(store: RecordStore) -> dict[str, int]:
    root = Path(store.root)
    return {str(file): file.stat().st_mtime_ns for file in root.rglob("*") if file.is_file()}


def until(process: Iterator[Progress], step: int) -> None:
    while next(process).step < step:
        pass


def test_the_old_process_stops_without_a_word(store: RecordStore) -> None:
    old = run(store)
    until(old, 3)
    assert row(store).attempts == 1
    new = run(store)
    until(new, 3)
    assert (row(store).attempts, row(store).status) == (2, "running")
    before = files(store)
    with pytest.raises(SupersededError, match="attempt 2, in another process, has taken this trial over"):
        until(old, 6)
    assert files(store) == before
    list(new)
    assert (row(store).attempts, row(store).status) == (2, "finished")


def test_the_old_process_is_stopped_by_its_caller(store: RecordStore) -> None:
    old = run(store)
    until(old, 3)
    new = run(store)
    until(new, 3)
    before = files(store)
    old.close()
    assert files(store) == before
    new.close()
    assert row(store).status == "stopped"


def test_an_ended_trial_stays_as_its_successor_ended_it(store: RecordStore) -> None:
    old = run(store)
    until(old, 5)
    list(run(store))
    before = files(store)
    with pytest.raises(SupersededError):
        list(old)
    assert files(store) == before


def test_what_the_sweep_notes_in_the_row_supersedes_nobody(store: RecordStore) -> None:
    process = run(store)
    until(process, 2)
    close_row(store, TRIAL.trial_id, "failed", "its process was lost")  # a driver that was mistaken
    list(process)
    assert (row(store).status, row(store).error, row(store).attempts) == ("finished", "", 1)


def test_a_row_without_the_column_still_reads(store: RecordStore) -> None:
    list(run(store))
    file = Path(store.root) / f"trials/{TRIAL.trial_id}.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["attempts"]), file)
    assert row(store).attempts is None
    assert store.read_trials()["attempts"].to_pylist() == [None]
    process = run(store)
    next(process, None)
    assert row(store).attempts == 1


def test_a_trial_that_was_given_up_says_why_even_if_it_never_began(store: RecordStore) -> None:
    planned = planned_row(TRIAL, Provenance("tiny", "abc"))
    fail_row(store, planned, "its process was lost; given up after 2 restarts without progress")
    failed = row(store)
    assert (failed.status, failed.attempts, failed.started) == ("failed", None, None)
    assert failed.finished is not None
    assert failed.lambda_meaning == TASKS["gan"].lambda_rule.meaning
    assert failed.error == "its process was lost; given up after 2 restarts without progress"
    list(run(store))
    fail_row(store, planned, "its process was lost")
    assert row(store).status == "finished"
