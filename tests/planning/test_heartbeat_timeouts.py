"""Processes that send no heartbeats are noticed, and those that are only late are left alone."""

import pytest

from ndabench.planning.heartbeat_timeouts import HeartbeatTimeouts, interval


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def until_noticed(
    timeouts: HeartbeatTimeouts, clock: Clock, heartbeats: dict[str, object], every: float
) -> float:
    """Seconds until the first silent process is noticed by one who looks every so many seconds."""
    began = clock.now
    while not timeouts.update(heartbeats):
        clock.now += every
        assert clock.now - began < 1000, "never noticed"
    return clock.now - began


@pytest.mark.parametrize("limit", [4.0, 120.0])
def test_a_process_that_stops_is_noticed_soon_after_the_limit(limit: float, clock: Clock) -> None:
    timeouts = HeartbeatTimeouts(limit, clock)
    for count in range(100):
        assert timeouts.update({"a/main": count, "b/main": count}) == []
        clock.now += interval(limit)
    seconds = until_noticed(timeouts, clock, {"b/main": b"7"}, interval(limit))
    assert limit < seconds <= limit + 2 * interval(limit)


def test_a_process_that_never_sent_one_is_noticed(clock: Clock) -> None:
    assert until_noticed(HeartbeatTimeouts(60, clock), clock, {"a/main": None}, 5) == 65


def test_one_that_holds_the_lock_for_tens_of_seconds_is_left_alone(clock: Clock) -> None:
    timeouts = HeartbeatTimeouts(120, clock)
    for count in range(10):
        for _ in range(20):  # 100 s without a heartbeat
            assert timeouts.update({"a/main": count}) == []
            clock.now += 5


def test_a_driver_that_was_suspended_gives_every_process_another_chance(clock: Clock) -> None:
    timeouts = HeartbeatTimeouts(120, clock)
    timeouts.update({"a/main": 1})
    clock.now += 3600
    assert timeouts.update({"a/main": 1}) == []
    assert until_noticed(timeouts, clock, {"a/main": 1}, 5) > 100


def test_a_process_that_has_ended_is_forgotten(clock: Clock) -> None:
    timeouts = HeartbeatTimeouts(10, clock)
    timeouts.update({"a/main": 1})
    for _ in range(10):
        clock.now += 1
        assert timeouts.update({}) == []
    assert timeouts.update({"a/main": 1}) == []
