"""Random streams, and how they continue on another kind of device."""

from typing import Any

import torch
from torch import Tensor

from ndabench.random_streams import continue_stream, random_stream


class OnCuda:
    """What a generator on CUDA does with states: 16 bytes, its seed and its offset."""

    def __init__(self, seed: int) -> None:
        self.seed, self.offset = seed, 0

    def get_state(self) -> Tensor:
        return torch.tensor([self.seed, self.offset]).view(torch.uint8)

    def set_state(self, state: Tensor) -> None:
        assert len(state) == 16, "RNG state is wrong size"
        self.seed, self.offset = state.view(torch.int64).tolist()

    def manual_seed(self, seed: int) -> None:
        self.seed, self.offset = seed, 0


def test_on_the_same_kind_of_device_a_stream_goes_on_where_it_was() -> None:
    stream, other = random_stream(0, "noise"), random_stream(1, "other")
    torch.rand(5, generator=stream)
    state = stream.get_state()
    assert continue_stream(other, state)
    assert torch.equal(torch.rand(5, generator=other), torch.rand(5, generator=stream))
    there, again = OnCuda(3), OnCuda(4)
    there.offset = 8
    assert continue_stream(_generator(again), there.get_state())
    assert vars(again) == vars(there)


def test_on_another_kind_it_begins_anew_at_a_seed_made_of_its_state() -> None:
    stream = random_stream(0, "noise")
    seeds = []
    for _ in range(3):
        there, again = OnCuda(1), OnCuda(2)
        for target in (there, again):
            assert not continue_stream(_generator(target), stream.get_state())
        assert vars(there) == vars(again), "whatever the generator was before"
        seeds.append(there.seed)
        torch.rand(1, generator=stream)
    assert len(set(seeds)) == 3, "another state gives another seed"
    back = random_stream(0, "noise")
    assert not continue_stream(back, OnCuda(5).get_state())
    once = torch.rand(5, generator=back)
    assert not continue_stream(back, OnCuda(5).get_state())
    assert torch.equal(once, torch.rand(5, generator=back))


def _generator(there: OnCuda) -> Any:
    return there
