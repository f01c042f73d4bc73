"""Networks whose weights trail those of another: BigGAN's averaged generator, MoCo's key network."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class MovingAverage(nn.Module):
    """A frozen copy of a network whose parameters and buffers trail those of the network.

    Until step `start` the copy equals the network; from then on, at every update,
    `average = decay * average + (1 - decay) * network`, always in the weights' own float32.
    """

    def __init__(self, network: nn.Module, *, decay: float, start: int) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay, self.start = decay, start

    def update(self, network: nn.Module, step: int) -> None:
        """Updates the average from `network`, which has taken `step` updates so far (1 after the first)."""
        trail(_tensors(self.network), _tensors(network), decay=0.0 if step < self.start else self.decay)


@torch.no_grad()
def trail(followers: Iterable[Tensor], leaders: Iterable[Tensor], *, decay: float) -> None:
    """In place and pair by pair, `follower = decay * follower + (1 - decay) * leader`."""
    torch._foreach_lerp_(list(followers), list(leaders), 1 - decay)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
