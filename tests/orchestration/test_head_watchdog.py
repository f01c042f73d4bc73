"""A head or a node that stops answering is noticed in time, and one that is only late is left alone."""

import socket
from collections.abc import Collection

import pytest

from ndabench.orchestration.head_watchdog import SECONDS_BETWEEN_PROBES, Address, answers, first_lost

HEAD, NODE = ("10.0.0.1", 6379), ("10.0.0.2", 7000)


def watched(silent: dict[Address, Collection[int]], rounds: int, timeout: float = 10) -> tuple[str, int]:
    """What is found lost, and in which round of probing, if each address is silent in these rounds."""
    round_ = 0

    def pause(seconds: float) -> bool:
        nonlocal round_
        round_ += 1
        return round_ > rounds

    lost = first_lost(
        {"head": HEAD, "node": NODE},
        timeout,
        answers=lambda address: round_ not in silent.get(address, ()),
        pause=pause,
        clock=lambda: round_ * SECONDS_BETWEEN_PROBES,
    )
    return lost, round_


def test_what_answers_is_never_lost() -> None:
    assert watched({}, rounds=100) == ("", 101)


@pytest.mark.parametrize(("address", "name"), [(HEAD, "head"), (NODE, "node")])
def test_what_stops_answering_is_lost_after_the_timeout(address: Address, name: str) -> None:
    assert watched({address: range(7, 1000)}, rounds=100) == (name, 11)


def test_what_comes_back_in_time_is_not_lost() -> None:
    silent = [*range(7, 11), *range(12, 16)]
    assert watched({HEAD: silent, NODE: silent}, rounds=100) == ("", 101)


def test_an_open_door_answers_and_a_closed_one_does_not() -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        address = door.getsockname()
        assert answers(address)
    assert not answers(address)
