"""How many trials fit at once, against trying it out; and the message if none fits."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndabench.planning.resources import GIB, Node, Resources, largest_fitting, trials_fitting, why_none_fits


def node(cpu: float, gpu: float = 0, memory_gib: float = 64, **custom: float) -> Node:
    return {"CPU": cpu, "GPU": gpu, "memory": memory_gib * GIB, **custom}


@pytest.mark.parametrize(
    ("nodes", "asked", "trials"),
    [
        ([node(2)], {}, 2),
        ([node(2)], {"workers": 2}, 1),
        ([node(1), node(1)], {"workers": 2}, 1),  # drivers take nothing that workers need
        ([node(3), node(3)], {"cpus_per_worker": 2}, 2),  # the third CPUs of two nodes are no worker's
        ([node(2)], {"cpus_per_worker": 0.1}, 20),
        ([node(64, gpu=2)], {"gpus_per_worker": 0.5}, 4),
        ([node(64, gpu=8), node(8)], {"workers": 4, "gpus_per_worker": 1}, 2),  # heterogeneous
        ([node(16, memory_gib=9)], {"memory_gib_per_worker": 4}, 2),
        ([node(16, memory_gib=8)], {"memory_gib_per_worker": 4}, 1),  # drivers ask for memory, too
        ([node(8, a100=1), node(8)], {"custom_per_worker": {"a100": 0.5}}, 2),
        ([node(3), node(3)], {"workers": 2, "placement": "spread"}, 3),
        ([node(3), node(3)], {"workers": 2, "placement": "strict_pack"}, 2),
        ([node(3), node(1)], {"workers": 2, "placement": "strict_spread"}, 1),
        ([node(8), node(8), node(8, safe=1)], {"workers": 2, "drivers_on": "safe"}, 12),
        ([node(9, safe=0.005)], {"workers": 2, "cpus_per_worker": 0.1, "drivers_on": "safe"}, 5),
    ],
)
def test_what_fits(nodes: list[Node], asked: dict[str, Any], trials: int) -> None:
    assert trials_fitting(nodes, Resources(**asked)) == trials


@pytest.mark.parametrize(
    ("nodes", "asked", "missing"),
    [
        ([node(2)], {"gpus_per_worker": 1000}, "no node has 1000 GPU (the most is 0 GPU)"),
        ([node(2), node(1)], {"workers": 4}, "2 nodes can hold 3 such workers together"),
        (
            [node(2, memory_gib=8), node(1, memory_gib=4)],
            {"memory_gib_per_worker": 16},
            "no node has 16 GiB memory (the most is 8 GiB memory)",
        ),
        ([node(1, gpu=1), node(8)], {"gpus_per_worker": 1, "cpus_per_worker": 4}, "no node has all of that"),
        ([node(2)], {"custom_per_worker": {"a100": 1}}, "no node has 1 a100 (the most is 0 a100)"),
        (
            [node(1), node(1)],
            {"workers": 2, "placement": "strict_pack"},
            "no node can hold more than 1 of them",
        ),
        (
            [node(4), node(0)],
            {"workers": 2, "placement": "strict_spread"},
            "only 1 of 2 nodes can hold such a worker",
        ),
        (
            [node(4)],
            {"workers": 2, "drivers_on": "safe"},
            "no node has the resource 'safe' that drivers_on asks for",
        ),
        ([], {}, "no node has 1 CPU (the most is 0 CPU)"),
    ],
)
def test_what_is_missing(nodes: list[Node], asked: dict[str, Any], missing: str) -> None:
    assert trials_fitting(nodes, Resources(**asked)) == 0
    assert why_none_fits(nodes, Resources(**asked)) == missing


@given(
    slots=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    workers=st.integers(1, 3),
    placement=st.sampled_from(["pack", "spread", "strict_pack", "strict_spread"]),
)
@settings(max_examples=150, deadline=None)
def test_no_other_way_of_placing_has_room_for_more(slots: list[int], workers: int, placement: Any) -> None:
    resources = Resources(workers=workers, placement=placement)
    nodes = [node(count) for count in slots]
    assert trials_fitting(nodes, resources) == most_placed(tuple(sorted(slots)), workers, placement)


def most_placed(slots: tuple[int, ...], workers: int, placement: str) -> int:
    """Trial after trial on every set of slots that the placement allows, and the longest row of them."""
    best = 0
    for rest in {tuple(sorted(rest)) for rest in one_placed(slots, workers, placement)}:
        best = max(best, 1 + most_placed(rest, workers, placement))
        if placement in ("pack", "spread"):  # a slot is as good as another
            break
    return best


def one_placed(slots: tuple[int, ...], workers: int, placement: str) -> list[tuple[int, ...]]:
    if workers == 0:
        return [slots]
    found = []
    for i, free in enumerate(slots):
        takes = workers if placement == "strict_pack" else 1
        if free >= takes:
            left = (*slots[:i], free - takes, *slots[i + 1 :])
            if placement == "strict_spread":  # no other worker of this trial here, nor on a node before
                found += [
                    (*left[: i + 1], *rest) for rest in one_placed(left[i + 1 :], workers - 1, placement)
                ]
            else:
                found += one_placed(left, workers - takes, placement)
    return found


def test_what_is_asked_in_words() -> None:
    assert str(Resources()) == "1 worker × (1 CPU)"
    asked = Resources(workers=2, gpus_per_worker=1, memory_gib_per_worker=1.5, placement="strict_spread")
    assert str(asked) == "2 workers × (1 CPU, 1 GPU, 1.5 GiB memory), each on a different node"
    assert asked.worker_bundle == {"CPU": 1, "GPU": 1, "memory": 1.5 * GIB}
    assert asked.driver_bundle == {"memory": 1}


def test_fewer_workers_where_all_have_no_room() -> None:
    elastic = Resources(workers=6, min_workers=2)
    assert str(elastic) == "2 to 6 workers × (1 CPU)"
    assert [size.workers for size in elastic.sizes] == [6, 3, 2]
    fitting = {cpus: largest_fitting([node(cpus), node(1)], elastic) for cpus in range(8)}
    workers = {cpus: None if size is None else size.workers for cpus, size in fitting.items()}
    assert workers == {0: None, 1: 2, 2: 3, 3: 3, 4: 3, 5: 6, 6: 6, 7: 6}
    assert [size.workers for size in Resources(workers=6).sizes] == [6]
