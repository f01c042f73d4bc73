"""Processes that give no sign of life are noticed, and those that only seem so are left alone."""

import pytest

from ndabench.orchestration.pulse import Silences, interval


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def until_noticed(silences: Silences, clock: Clock, signs: dict[str, object], every: float) -> float:
    """Seconds until the first silence is noticed, looking every so many seconds."""
    began = clock.now
    while not silences.look(signs):
        clock.now += every
        assert clock.now - began < 1000, "noticed never"
    return clock.now - began


@pytest.mark.parametrize("limit", [4.0, 120.0])
def test_a_process_that_stops_is_noticed_soon_after_the_limit(limit: float, clock: Clock) -> None:
    silences = Silences(limit, clock)
    for count in range(100):
        assert silences.look({"a/main": count, "b/main": count}) == []
        clock.now += interval(limit)
    seconds = until_noticed(silences, clock, {"b/main": b"7"}, interval(limit))
    assert limit < seconds <= limit + 2 * interval(limit)


def test_a_process_that_never_gave_a_sign_is_noticed(clock: Clock) -> None:
    assert until_noticed(Silences(60, clock), clock, {"a/main": None}, 5) == 65


def test_one_that_holds_the_lock_for_tens_of_seconds_is_left_alone(clock: Clock) -> None:
    silences = Silences(120, clock)
    for count in range(10):
        for _ in range(20):  # 100 s without a sign
            assert silences.look({"a/main": count}) == []
            clock.now += 5


def test_a_driver_that_slept_gives_everybody_another_chance(clock: Clock) -> None:
    silences = Silences(120, clock)
    silences.look({"a/main": 1})
    clock.now += 3600
    assert silences.look({"a/main": 1}) == []
    assert until_noticed(silences, clock, {"a/main": 1}, 5) > 100


def test_what_runs_no_more_is_forgotten(clock: Clock) -> None:
    silences = Silences(10, clock)
    silences.look({"a/main": 1})
    for _ in range(10):
        clock.now += 1
        assert silences.look({}) == []
    assert silences.look({"a/main": 1}) == []
