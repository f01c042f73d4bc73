"""What waits for room is said: not at once, not too often, and when it is over."""

import pytest

from ndabench.orchestration.room import Waiting
from ndabench.resources import Resources


@pytest.fixture
def said() -> list[str]:
    return []


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_waiting_is_said_ever_more_rarely_until_it_is_over(said: list[str]) -> None:
    clock = Clock()
    waiting = Waiting(Resources(), said.append, clock, lambda resources: "free now: 0 of 2 CPU")
    moments = []
    for second in range(3600):
        clock.now = 1000.0 + second
        waiting.look([b"one"])
        if len(said) > len(moments):
            moments.append(second)
    assert set(said) == {"1 trial waits for room: 1 worker × (1 CPU), free now: 0 of 2 CPU"}
    assert moments == [15, 75, 195, 435, 915, 1515, 2115, 2715, 3315]
    waiting.look([])
    waiting.look([])
    assert said[len(moments) :] == ["there is room again"]
    waiting.look([b"two"])
    clock.now += 15
    waiting.look([b"two", b"three"])
    assert said[len(moments) + 1 :] == [said[0]]


def test_a_trial_that_starts_soon_is_not_heard_of(said: list[str]) -> None:
    clock = Clock()
    waiting = Waiting(Resources(), said.append, clock)
    for second in range(600):  # there is always one that waits, but never the same for long
        clock.now = 1000.0 + second
        waiting.look([str(second // 10).encode()])
    assert said == []
