"""How a sweep stands, in numbers, in the lines of a log and in status.json, by a clock that we set."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.orchestration.standing import Standing
from ndabench.orchestration.status_file import StatusFile
from ndabench.orchestration.view import View
from ndabench.records import RecordStore, SweepStatus, TrialRow, read_status
from ndabench.sweepfile import SweepConfig

SWEEP = parse(
    SweepConfig,
    {
        "name": "tiny",
        "task": {"name": "gan", "num_steps": 100},
        "data": {"name": "digits"},
        "arms": ["none", "jigsaw"],
        "search": {"lambda": [0.5]},
        "seeds": list(range(6)),
    },
    "test",
)
FIRST, SECOND, *MORE = SWEEP.grid_trials()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standing(clock: Clock) -> Standing:
    return Standing(12, {"finished": 1, "diverged": 1}, clock)


def result(step: int, **more: float) -> dict[str, float]:
    return {"step": step, "num_steps": 100, "num_images": step, **more}


def test_the_time_left_follows_the_work_done(standing: Standing, clock: Clock) -> None:
    assert standing.seconds_left() is None
    standing.started(FIRST)
    standing.progressed(FIRST.trial_id, result(0))
    clock.now += 60
    standing.progressed(FIRST.trial_id, result(50))
    assert standing.seconds_left() == pytest.approx(60 / 0.5 * 9.5)
    (shown,) = standing.shown()
    assert (shown.label, shown.step, shown.num_steps, shown.seconds_left) == ("none seed 0", 50, 100, 60.0)
    standing.closed(FIRST.trial_id, "finished")
    assert standing.seconds_left() == pytest.approx(60 * 9)
    assert standing.counts() == {
        "total": 12,
        "waiting": 9,
        "running": 0,
        "finished": 2,
        "pruned": 0,
        "stopped": 0,
        "diverged": 1,
        "failed": 0,
    }


def test_a_restarted_trial_is_timed_anew(standing: Standing, clock: Clock) -> None:
    assert standing.started(FIRST)
    for step in (0, 80):
        standing.progressed(FIRST.trial_id, result(step))
        clock.now += 8
    standing.restarted(FIRST.trial_id)
    assert not standing.started(FIRST)
    assert standing.shown()[0].seconds_left is None
    clock.now += 100
    standing.progressed(FIRST.trial_id, result(60))
    clock.now += 10
    standing.progressed(FIRST.trial_id, result(70))
    assert standing.shown()[0].seconds_left == 30.0


def test_an_objective_that_is_no_number_is_none(standing: Standing) -> None:
    standing.started(FIRST)
    standing.progressed(FIRST.trial_id, result(1, objective=float("nan")))
    assert standing.shown()[0].objective is None
    standing.progressed(FIRST.trial_id, result(1, objective=2.5))
    assert standing.shown()[0].objective == 2.5


def test_a_log_is_told_once_a_minute_how_far_the_trials_are(standing: Standing, clock: Clock) -> None:
    text = io.StringIO()
    with View(Console(file=text, width=500), standing, "val_fd", clock) as view:
        for trial in (FIRST, SECOND, *MORE[:8]):
            view.started(trial)
        view.progressed(SECOND.trial_id, result(40, objective=3.0))
        view.remind()
        assert text.getvalue() == ""
        clock.now += 61
        view.remind()
        view.remind()
        clock.now += 61
        view.remind()  # nothing has moved
        line = text.getvalue()
        assert line.startswith("[2/12] none seed 0 0%, jigsaw λ=0.5 seed 0 40%, ")
        assert line.endswith(" and 2 more · about 24 min left\n")
        assert line.count("\n") == 1
        row = TrialRow(
            sweep="tiny",
            trial_id=SECOND.trial_id,
            task="gan",
            dataset="digits",
            arm="jigsaw",
            seed=0,
            config_json="{}",
            status="finished",
            seconds=99.6,
        )
        view.ended(SECOND.trial_id, row, "")
        assert (
            text.getvalue()
            .splitlines()[1]
            .startswith(f"[3/12] {SECOND.label}: finished val_fd 3 in 100 s · ")
        )
        assert SECOND.trial_id not in view.running


def read(store: RecordStore) -> SweepStatus:
    status = read_status(store)
    assert status is not None
    return status


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path))


def test_the_status_file_is_written_seldom_and_at_the_end(
    store: RecordStore, standing: Standing, clock: Clock
) -> None:
    with StatusFile(store, "tiny", clock) as file:
        file.refresh()
        assert read_status(store) is None, "the folder is not ours before the sweep begins"
        file.begin(standing)
        begun = read(store)
        assert (begun.state, begun.exit_code, begun.running) == ("running", None, ())
        standing.started(FIRST)
        clock.now += 2
        file.refresh()
        assert read(store) == begun
        clock.now += 2
        file.refresh()
        assert [trial.trial_id for trial in read(store).running] == [FIRST.trial_id]
        last = read(store)
        clock.now += 29
        file.refresh()
        assert read(store) == last, "nothing has changed"
        clock.now += 2
        file.refresh()
        assert read(store) == replace(last, updated=read(store).updated) != last
        standing.closed(FIRST.trial_id, "failed")
        file.end("complete", 1)
    ended = read(store)
    assert (ended.state, ended.exit_code, ended.message, ended.seconds_left) == ("complete", 1, "", None)
    assert ended.trials["failed"] == 1


@pytest.mark.parametrize(
    ("error", "state", "code", "message"),
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
    store: RecordStore, standing: Standing, error: BaseException, state: str, code: int, message: str
) -> None:
    def drive() -> None:
        with StatusFile(store, "tiny") as file:
            file.begin(standing)
            raise error

    with pytest.raises(type(error)):
        drive()
    status = read(store)
    assert (status.state, status.exit_code, status.message) == (state, code, message)


def test_a_status_file_that_cannot_be_written_stops_nothing(standing: Standing, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with StatusFile(RecordStore(str(tmp_path / "file")), "tiny") as file:
        file.begin(standing)
