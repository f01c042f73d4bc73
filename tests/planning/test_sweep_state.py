"""The state of a sweep in numbers, by a clock that the test sets, and what its observers are told."""

import logging
from collections.abc import Callable

import pytest

from ndabench.planning.sweep_state import (
    Event,
    Notice,
    SweepEnded,
    SweepState,
    Tick,
    TrialEnded,
    TrialInterrupted,
    TrialProgressed,
    TrialRestarted,
    TrialStarted,
)
from tests.timed_sweep import SWEEP, Clock, result

FIRST, SECOND, *_ = SWEEP.grid_trials()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> SweepState:
    return SweepState(12, {"finished": 1, "diverged": 1}, clock)


def test_the_time_left_follows_the_work_done(state: SweepState, clock: Clock) -> None:
    assert state.seconds_left() is None
    state.start(FIRST)
    state.progress(FIRST.trial_id, result(0))
    clock.now += 60
    state.progress(FIRST.trial_id, result(50))
    assert state.seconds_left() == pytest.approx(60 / 0.5 * 9.5)
    (shown,) = state.summaries()
    assert (shown.label, shown.step, shown.num_steps, shown.seconds_left) == ("none seed 0", 50, 100, 60.0)
    state.end(FIRST.trial_id, "finished")
    assert state.seconds_left() == pytest.approx(60 * 9)
    assert state.counts() == {
        "total": 12,
        "waiting": 9,
        "running": 0,
        "finished": 2,
        "pruned": 0,
        "stopped": 0,
        "diverged": 1,
        "failed": 0,
    }


def test_a_restarted_trial_is_timed_anew(state: SweepState, clock: Clock) -> None:
    events: list[Event] = []
    state.subscribe("a list", events.append)
    state.start(FIRST)
    assert events == [TrialStarted(state.running[FIRST.trial_id])]
    for step in (0, 80):
        state.progress(FIRST.trial_id, result(step))
        clock.now += 8
    state.restart(FIRST.trial_id, "lost")
    events.clear()
    state.start(FIRST)
    assert events == [], "it is running already"
    assert state.summaries()[0].seconds_left is None
    clock.now += 100
    state.progress(FIRST.trial_id, result(60))
    clock.now += 10
    state.progress(FIRST.trial_id, result(70))
    assert state.summaries()[0].seconds_left == 30.0


def test_an_objective_that_is_no_number_is_none(state: SweepState) -> None:
    state.start(FIRST)
    state.progress(FIRST.trial_id, result(1, objective=float("nan")))
    assert state.summaries()[0].objective is None
    state.progress(FIRST.trial_id, result(1, objective=2.5))
    assert state.summaries()[0].objective == 2.5


def test_observers_hear_all_that_happens_in_order(state: SweepState) -> None:
    events: list[Event] = []
    state.subscribe("a list", events.append)
    state.start(FIRST)
    state.start(SECOND)
    first, second = state.running.values()
    state.progress(FIRST.trial_id, result(5))
    state.restart(FIRST.trial_id, "its process was lost")
    state.tick()
    state.end(FIRST.trial_id, "failed", error="no", notes="damaged", seconds=3.0)
    state.announce("1 trial waits")
    state.interrupt(SECOND.trial_id, recorded=True)
    state.end_sweep("interrupted", 130)
    assert events == [
        TrialStarted(first),
        TrialStarted(second),
        TrialProgressed(first),
        TrialRestarted(first, "its process was lost"),
        Tick(),
        TrialEnded(first, "failed", "no", "damaged", 3.0),
        Notice("1 trial waits"),
        TrialInterrupted(second),
        SweepEnded("interrupted", 130),
    ]
    assert state.counts()["stopped"] == 1
    assert state.running == {}


def test_only_what_happens_to_trials_counts_as_a_change(state: SweepState) -> None:
    def changes(action: Callable[[], None]) -> int:
        before = state.changes
        action()
        return state.changes - before

    assert changes(lambda: state.start(FIRST)) == 1
    assert changes(lambda: state.progress(FIRST.trial_id, result(1))) == 1
    assert changes(lambda: state.restart(FIRST.trial_id, "")) == 1
    assert changes(lambda: state.end(FIRST.trial_id, "finished")) == 1
    assert changes(state.tick) == changes(lambda: state.announce("")) == 0


def test_nothing_waits_when_a_sweep_is_complete_with_fewer_trials_than_it_could_have_had(
    state: SweepState,
) -> None:
    state.end_sweep("interrupted", 130)
    assert state.counts()["waiting"] > 0
    state.end_sweep("complete", 0)
    assert (state.counts()["waiting"], state.counts()["total"]) == (0, state.ended)


def test_an_observer_that_raises_is_logged_once_and_the_others_hear_everything(
    state: SweepState, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []

    def broken(event: Event) -> None:
        raise OSError("the terminal\nis gone")

    state.subscribe("the terminal", broken)
    state.subscribe("a list", events.append)
    with caplog.at_level(logging.WARNING, "ndabench"):
        state.start(FIRST)
        state.progress(FIRST.trial_id, result(1))
        state.end(FIRST.trial_id, "finished")
    assert [type(event) for event in events] == [TrialStarted, TrialProgressed, TrialEnded]
    assert caplog.messages == ["the terminal: OSError: the terminal is gone; the sweep continues"]
    assert state.counts()["finished"] == 2


def test_an_interruption_is_no_failure_of_an_observer(state: SweepState) -> None:
    def interrupted(event: Event) -> None:
        raise KeyboardInterrupt

    state.subscribe("the terminal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        state.start(FIRST)
