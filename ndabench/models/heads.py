"""Projection heads, which contrastive learning puts on an encoder and throws away afterwards."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """Features to points on the unit sphere, `[N, in_dim] -> [N, out_dim]` float32.

    A linear layer (MoCo, arXiv 1911.05722), or linear, ReLU, linear with a `hidden_dim` (SimCLR, arXiv
    2002.05709; MoCo-v2, arXiv 2003.04297).
    """

    def __init__(self, in_dim: int, hidden_dim: int | None, out_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = (
            linear(in_dim, out_dim, generator=generator)
            if hidden_dim is None
            else nn.Sequential(
                linear(in_dim, hidden_dim, generator=generator),
                nn.ReLU(inplace=True),
                linear(hidden_dim, out_dim, generator=generator),
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(self.layers(features).float(), dim=1)


def linear(in_dim: int, out_dim: int, *, generator: torch.Generator) -> nn.Linear:
    """A linear layer with PyTorch's own initialisation, drawn from `generator`."""
    layer = nn.utils.skip_init(nn.Linear, in_dim, out_dim)
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    bound = 1 / math.sqrt(in_dim)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer
