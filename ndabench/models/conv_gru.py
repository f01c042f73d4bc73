"""A convolutional gated recurrent unit (Ballas et al., arXiv 1511.06432) as DPC has it (arXiv 1909.04656)."""

import torch
from torch import Tensor, nn

from ndabench.distributed import Workers


class ConvGru(nn.Module):
    """Sums up a sequence of maps, location by location where `kernel_size` is 1.

    For input x and state h, where ∗ convolves their concatenation:

        z = σ(W_z ∗ [x, h]),  r = σ(W_r ∗ [x, h]),  h' = (1 − z)·h + z·tanh(W ∗ [x, r·h])

    In training a share `dropout` of every new state's values is set to zero, and the sequence continues from
    the result. Weights start orthogonal, biases at zero.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        kernel_size: int = 1,
        dropout: float = 0.1,
        workers: Workers | None = None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.channels, self.dropout = channels, dropout
        self.workers = workers or Workers()
        gate = (in_channels + channels, channels, kernel_size)
        self.reset_gate = orthogonal_convolution(*gate, generator=generator)
        self.update_gate = orthogonal_convolution(*gate, generator=generator)
        self.out_gate = orthogonal_convolution(*gate, generator=generator)

    def forward(
        self, sequence: Tensor, state: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """The states `[N, S, channels, h, w]` after each of the maps `[N, S, in_channels, h, w]`.

        `state` `[N, channels, h, w]` is where it starts, None for zeros. `generator` is for dropout, whose
        draws are made for the batch of all workers; evaluation needs none.
        """
        states = []
        for maps in sequence.unbind(1):
            state = self.step(maps, state, generator=generator)
            states.append(state)
        return torch.stack(states, 1)

    def step(self, maps: Tensor, state: Tensor | None, *, generator: torch.Generator | None = None) -> Tensor:
        """The state `[N, channels, h, w]` after one more of `maps`, `[N, in_channels, h, w]`."""
        if state is None:
            num_maps = maps.shape[0]  # `len` would fix it in a program that torch.export traces
            state = maps.new_zeros(num_maps, self.channels, *maps.shape[2:])
        both = torch.cat([maps, state], 1)
        update, reset = torch.sigmoid(self.update_gate(both)), torch.sigmoid(self.reset_gate(both))
        candidate = torch.tanh(self.out_gate(torch.cat([maps, state * reset], 1)))
        return self._dropped_out(state * (1 - update) + candidate * update, generator)

    def _dropped_out(self, state: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.training or self.dropout == 0:
            return state
        assert generator is not None, "dropout in training draws from a generator"
        shape = (len(state) * self.workers.world_size, *state.shape[1:])
        kept = torch.rand(shape, generator=generator, device=state.device) >= self.dropout
        return state * (self.workers.shard(kept).to(state.dtype) / (1 - self.dropout))


def orthogonal_convolution(
    in_channels: int, out_channels: int, kernel_size: int, *, generator: torch.Generator
) -> nn.Conv2d:
    """A convolution that keeps the resolution, its weight orthogonal, its bias zero."""
    layer = nn.utils.skip_init(nn.Conv2d, in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    nn.init.orthogonal_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
