"""The toy encoder: a linear layer over a few mean brightnesses."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ndabench.models.clip_encoders import drawn
from ndabench_toy import MeansConfig


class Means(nn.Module):
    """Images `[N, C, H, W]` of any size to features `[N, dimension]`."""

    def __init__(self, num_channels: int, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.linear = nn.Linear(16 * num_channels, dimension)

    def forward(self, images: Tensor) -> Tensor:
        return F.relu(self.linear(F.adaptive_avg_pool2d(images, 4).flatten(1))).float()


def build(
    config: MeansConfig,
    image_shape: tuple[int, int, int],
    *,
    generator: torch.Generator,
    workers: Any,
    **keywords: Any,
) -> nn.Module:
    """The encoder; it has no batch norm to split, and no convolutions whose memory has a format."""
    return drawn(lambda: Means(image_shape[0], config.dimension), generator).to(workers.device)
