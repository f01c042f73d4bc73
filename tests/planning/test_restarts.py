"""Lost trials restart with growing pauses while they make progress, and are given up when they do not."""

from collections import deque

import pytest

from ndabench.config import parse
from ndabench.planning.outcomes import Outcome
from ndabench.planning.plan import ListedPlan
from ndabench.planning.restarts import Restarts
from ndabench.planning.sweep_file import SweepConfig
from ndabench.planning.trial_queue import TrialQueue

SWEEP = parse(
    SweepConfig,
    {"name": "s", "task": {"name": "gan"}, "data": {"name": "digits"}, "arms": ["none"], "seeds": [0, 1, 2]},
    "test",
)
FIRST, SECOND, THIRD = SWEEP.grid_trials()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_queue(clock: Clock, most: int = 2, slots: int = 2) -> TrialQueue:
    return TrialQueue(ListedPlan(SWEEP, {}), Restarts(most, clock), slots)


def test_a_trial_that_always_fails_at_one_place_is_given_up(clock: Clock) -> None:
    restarts = Restarts(8, clock)
    pauses = []
    for attempt in range(9):
        for step in range(40 if attempt else 0, 51, 10):  # from its checkpoint, always to step 50
            restarts.progressed(FIRST.trial_id, step)
        restart = restarts.lost(FIRST)
        if restart is not None:
            pauses.append(restart.pause)
            assert restart.number == len(pauses)
            assert restarts.next() is None
            clock.now += restart.pause
            assert restarts.next() == (FIRST, 0.0)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert restart is None
    assert restarts.history(FIRST.trial_id).summary == "after 8 restarts without progress"


def test_a_trial_that_gets_further_each_time_may_be_lost_for_ever(clock: Clock) -> None:
    restarts = Restarts(1, clock)
    for attempt in range(50):
        restarts.progressed(FIRST.trial_id, attempt)
        restart = restarts.lost(FIRST)
        assert restart is not None
        assert (restart.pause, restart.number) == (1, 1)
        assert restarts.next(early=True) == (FIRST, 1.0)
    assert restarts.lost(FIRST) is None
    assert restarts.history(FIRST.trial_id).summary == "after 50 restarts, the last 1 without progress"


def test_without_restarts_a_loss_is_the_end(clock: Clock) -> None:
    restarts = Restarts(0, clock)
    assert restarts.lost(FIRST) is None
    assert restarts.history(FIRST.trial_id).summary == ""
    assert len(restarts) == 0


def test_others_go_first_during_the_pause(clock: Clock) -> None:
    queue = make_queue(clock)
    assert queue.next("a") == (FIRST, 0.0)
    assert queue.next("b") == (SECOND, 0.0)
    assert queue.next("c") is None, "there are two slots"
    assert queue.lost("a") is not None
    assert queue.next("c") == (THIRD, 0.0)
    clock.now += 0.9
    queue.ended("c", Outcome(THIRD, "finished"))
    assert queue.next("d") is None
    assert not queue.done
    clock.now += 0.2
    assert queue.next("d") == (FIRST, 0.0)
    assert queue["a"] == queue["d"] == FIRST
    assert [queue.is_running(tune_id) for tune_id in "abcd"] == [False, True, False, True]


def test_a_trial_that_nobody_else_waits_for_pauses_in_its_place(clock: Clock) -> None:
    queue = make_queue(clock, slots=1)
    for tune_id, trial in (("a", FIRST), ("b", SECOND), ("c", THIRD)):
        assert queue.next(tune_id) == (trial, 0.0)
        if trial != THIRD:
            queue.ended(tune_id, Outcome(trial, "finished"))
    assert not queue.done, "the last one may still be lost"
    queue.lost("c")
    assert not queue.done
    clock.now += 0.25
    assert queue.next("d") == (THIRD, 0.75)
    queue.ended("d", Outcome(THIRD, "finished"))
    assert queue.done
    assert queue.next("e") is None


def test_everything_ends_whatever_is_lost(clock: Clock) -> None:
    """The first always fails, the others are lost three times each on their way."""
    queue, told = make_queue(clock), deque[str]()
    steps = {trial.trial_id: 0 for trial in SWEEP.grid_trials()}
    count = 0
    while not queue.done:
        count += 1
        found = queue.next(str(count))
        assert found is not None
        trial, seconds = found
        clock.now += seconds + 60
        if trial != FIRST:
            steps[trial.trial_id] += 1
            queue.progressed(str(count), steps[trial.trial_id])
        if steps[trial.trial_id] == 4:
            queue.ended(str(count), Outcome(trial, "finished"))
        elif queue.lost(str(count)) is None:
            told.append(queue.history(str(count)).summary)
    assert list(told) == ["after 2 restarts without progress"]
    assert count == 3 + 4 + 4


def test_evaluations_that_are_done_are_progress() -> None:
    restarts = Restarts(1)
    for evaluated in ((0, 0), (0, 200), (0, 400), (1, 0), (1, 200)):
        restarts.progressed(FIRST.trial_id, 6, evaluated)
        assert restarts.lost(FIRST) is not None, evaluated
    restarts.progressed(FIRST.trial_id, 6, (1, 200))
    assert restarts.lost(FIRST) is None
