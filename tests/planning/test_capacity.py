"""How much fits on a cluster; and who waits is announced: not at once, not too often, and when it is over."""

import pytest

from ndabench.errors import UserError
from ndabench.planning.capacity import WaitingNotices, concurrency, describe_shortage, size_to_start
from ndabench.planning.resources import Resources


@pytest.fixture
def said() -> list[str]:
    return []


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_waiting_is_announced_at_growing_intervals_until_it_is_over(said: list[str]) -> None:
    clock = Clock()
    waiting = WaitingNotices(Resources(), said.append, lambda: "free now: 0 of 2 CPU", clock)
    moments: list[int] = []
    for second in range(3600):
        clock.now = 1000.0 + second
        waiting.update([b"one"])
        if len(said) > len(moments):
            moments.append(second)
    assert set(said) == {"1 trial is waiting for resources: 1 worker × (1 CPU), free now: 0 of 2 CPU"}
    assert moments == [15, 75, 195, 435, 915, 1515, 2115, 2715, 3315]
    waiting.update([])
    waiting.update([])
    assert said[len(moments) :] == ["resources are available again"]
    waiting.update([b"two"])
    clock.now += 15
    waiting.update([b"two", b"three"])
    assert said[len(moments) + 1 :] == [said[0]]


def test_a_trial_that_starts_soon_is_not_announced(said: list[str]) -> None:
    clock = Clock()
    waiting = WaitingNotices(Resources(), said.append, lambda: "", clock)
    for second in range(600):  # there is always one that waits, but never the same for long
        clock.now = 1000.0 + second
        waiting.update([str(second // 10).encode()])
    assert said == []


NODES = [{"CPU": 4.0, "memory": 2.0**33}, {"CPU": 2.0, "memory": 2.0**33}]
PAIR = Resources(workers=2, min_workers=1, cpus_per_worker=2)


def test_as_many_trials_run_at_once_as_fit() -> None:
    assert concurrency(NODES, Resources()) == 6
    assert concurrency(NODES, Resources(max_concurrent=4)) == 4
    assert concurrency(NODES, Resources(max_concurrent=40)) == 6
    assert concurrency([], Resources(autoscaling=True, max_concurrent=9)) == 9


def test_a_trial_that_fits_nowhere_is_an_error() -> None:
    with pytest.raises(UserError, match=r"1 worker × \(5 CPU\).*no node has 5 CPU \(the most is 4 CPU\)"):
        concurrency(NODES, Resources(cpus_per_worker=5))


def test_a_trial_starts_with_the_workers_that_fit_once_it_has_looked_for_a_while() -> None:
    def workers(free: list[dict[str, float]], *, patient: bool) -> int | None:
        size = size_to_start(free, PAIR, patient=patient)
        return None if size is None else size.workers

    full, half, empty = NODES, NODES[1:], [{"CPU": 0.0, "memory": 2.0**33}]
    assert workers(full, patient=True) == workers(full, patient=False) == 2
    assert workers(half, patient=True) is None
    assert workers(half, patient=False) == 1
    assert workers(empty, patient=True) is None
    assert workers(empty, patient=False) == 1, "it waits for the smallest size"


def test_a_shortage_says_what_is_free_and_what_no_node_has() -> None:
    free = {"CPU": 1.0, "memory": 3 * 2.0**30}
    wanted = Resources(memory_gib_per_worker=1)
    assert describe_shortage(NODES, free, wanted) == "free now: 1 of 6 CPU, 3 of 16 GiB memory"
    assert describe_shortage(NODES[1:], {}, Resources(cpus_per_worker=3)) == (
        "free now: 0 of 2 CPU; more nodes are needed, no node has 3 CPU (the most is 2 CPU)"
    )
