"""A multilayer perceptron for points and noise of few dimensions."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from ndabench.models.heads import linear


class Perceptron(nn.Module):
    """`[N, inputs]` to `[N, outputs]` through `depth` hidden layers of `width` units.

    The units are SiLU, which has the second derivative that a penalty on the gradient needs. Weights have the
    variance 1/inputs (LeCun et al., Efficient BackProp, 1998). With a third of it, PyTorch's own, the logits
    of a GAN of points stay near 0 for the first thousand steps.
    """

    def __init__(
        self, inputs: int, outputs: int, *, width: int, depth: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size, next_size in pairwise([inputs, *[width] * depth, outputs]):
            layer = linear(size, next_size, generator=generator)
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear", generator=generator)
            layers += [layer, nn.SiLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layers(inputs)
        return outputs


class Critic(Perceptron):
    """A perceptron with one output: `[N, inputs]` to logits `[N]`.

    It multiplies its inputs by `scale`, without which it would hardly learn what changes over a distance far
    below 1.
    """

    def __init__(
        self, inputs: int, *, scale: float, width: int, depth: int, generator: torch.Generator
    ) -> None:
        super().__init__(inputs, 1, width=width, depth=depth, generator=generator)
        self.scale = scale

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(self.scale * inputs).squeeze(1)
