"""When `status.json` is written, and what it says, by a clock that the test sets."""

from dataclasses import replace
from pathlib import Path

import pytest

from ndabench.errors import UserError
from ndabench.orchestration.status_file import StatusFile
from ndabench.planning.sweep_state import SweepState, Tick
from ndabench.records import RecordStore, SweepStatus, read_status
from tests.timed_sweep import SWEEP, Clock

FIRST, *_ = SWEEP.grid_trials()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> SweepState:
    return SweepState(12, {"finished": 1, "diverged": 1}, clock)


def read(store: RecordStore) -> SweepStatus:
    status = read_status(store)
    assert status is not None
    return status


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path))


def test_the_status_file_is_written_seldom_and_at_the_end(
    store: RecordStore, state: SweepState, clock: Clock
) -> None:
    with StatusFile(store, "tiny", clock) as file:
        file.observe(Tick())
        assert read_status(store) is None, "the folder is not ours before the sweep begins"
        file.follow(state)
        begun = read(store)
        assert (begun.state, begun.exit_code, begun.running) == ("running", None, ())
        state.start(FIRST)
        clock.now += 2
        state.tick()
        assert read(store) == begun
        clock.now += 2
        state.tick()
        assert [trial.trial_id for trial in read(store).running] == [FIRST.trial_id]
        last = read(store)
        clock.now += 29
        state.tick()
        assert read(store) == last, "nothing has changed"
        clock.now += 2
        state.tick()
        assert read(store) == replace(last, updated=read(store).updated) != last
        state.end(FIRST.trial_id, "failed")
        state.end_sweep("complete", 1)
    ended = read(store)
    assert (ended.state, ended.exit_code, ended.message, ended.seconds_left) == ("complete", 1, "", None)
    assert ended.trials["failed"] == 1


@pytest.mark.parametrize(
    ("error", "ending", "code", "message"),
    [
        (
            UserError("out: cannot be written (the disk is full)"),
            "failed",
            2,
            "out: cannot be written (the disk is full)",
        ),
        (KeyboardInterrupt(), "interrupted", 130, ""),
        (RuntimeError("two\nlines"), "failed", 1, "two lines"),
    ],
)
def test_the_status_file_says_what_ended_the_driver(
    store: RecordStore, state: SweepState, error: BaseException, ending: str, code: int, message: str
) -> None:
    def drive() -> None:
        with StatusFile(store, "tiny") as file:
            file.follow(state)
            raise error

    with pytest.raises(type(error)):
        drive()
    status = read(store)
    assert (status.state, status.exit_code, status.message) == (ending, code, message)


def test_a_status_file_that_cannot_be_written_stops_nothing(state: SweepState, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with StatusFile(RecordStore(str(tmp_path / "file")), "tiny") as file:
        file.follow(state)
