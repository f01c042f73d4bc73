"""DCGAN (Radford et al., arXiv 1511.06434) for square images, with labels where there are any.

Strided 4×4 convolutions; the channels double with each halving of the resolution. The generator normalises
by batch, with a gain and a bias for each class. The discriminator has no normalisation at all, as a critic
under a gradient penalty must not mix the images of a batch (Gulrajani et al., arXiv 1704.00028); it sees
labels by projection (Miyato and Koyama, arXiv 1802.05637). Zhao et al. (NeurIPS 2018) count objects with
such networks.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.models.batch_norm import ClassBatchNorm
from ndabench.models.spectral_norm import INITIAL_STD

BOTTOMS: Mapping[int, int] = {8: 4, 16: 4, 32: 4, 48: 6, 64: 4, 128: 4}
"""Side of the smallest feature map, by the side of the images."""
SLOPE = 0.2
"""Of the leaky ReLUs."""


def channels_of(resolution: int, width: int) -> list[int]:
    """The channels of each feature map, from that of half the resolution down to the smallest."""
    return [width * 2**halvings for halvings in range((resolution // bottom_of(resolution)).bit_length() - 1)]


def bottom_of(resolution: int) -> int:
    """The side of the smallest feature map; `UserError` for images of a size that DCGAN does not make."""
    if resolution not in BOTTOMS:
        known = ", ".join(f"{size}×{size}" for size in BOTTOMS)
        raise UserError(
            f"DCGAN makes images of {known}, not of {resolution}×{resolution}; set the data's image_size"
        )
    return BOTTOMS[resolution]


class Generator(nn.Module):
    """Noise and class labels to images: `[N, latent_dim]`, `[N]` int64 -> `[N, C, H, W]` float in [-1, 1]."""

    def __init__(
        self,
        *,
        resolution: int,
        width: int,
        latent_dim: int,
        num_classes: int,
        image_channels: int,
        generator: torch.Generator,
        workers: Workers,
        memory_format: torch.memory_format,
    ) -> None:
        super().__init__()
        self.bottom = bottom_of(resolution)
        channels = channels_of(resolution, width)[::-1]
        self.memory_format = memory_format
        self.linear = nn.utils.skip_init(nn.Linear, latent_dim, channels[0] * self.bottom**2)
        self.norms = nn.ModuleList(
            ClassBatchNorm(size, num_classes, workers=workers, generator=generator) for size in channels
        )
        self.ups = nn.ModuleList(
            nn.utils.skip_init(nn.ConvTranspose2d, inner, outer, 4, 2, 1)
            for inner, outer in pairwise([*channels, image_channels])
        )
        initialise(self, generator)

    def forward(self, noise: Tensor, labels: Tensor, batch_statistics: bool | None = None) -> Tensor:
        """`batch_statistics` (the mode's own choice by default) samples with the batch's own moments."""
        if batch_statistics is None:
            batch_statistics = self.training
        features = self.linear(noise).unflatten(1, (-1, self.bottom, self.bottom))
        features = features.contiguous(memory_format=self.memory_format)
        for norm, up in zip(self.norms, self.ups, strict=True):
            features = up(F.relu(norm(features, labels, batch_statistics)))
        return torch.tanh(features.float())


class Discriminator(nn.Module):
    """Images and class labels to logits, higher for real: `[N, C, H, W]`, `[N]` int64 -> `[N]` float32."""

    def __init__(
        self,
        *,
        resolution: int,
        width: int,
        num_classes: int,
        image_channels: int,
        generator: torch.Generator,
        memory_format: torch.memory_format,
    ) -> None:
        super().__init__()
        channels = channels_of(resolution, width)
        self.memory_format = memory_format
        self.downs = nn.ModuleList(
            nn.utils.skip_init(nn.Conv2d, inner, outer, 4, 2, 1)
            for inner, outer in pairwise([image_channels, *channels])
        )
        self.linear = nn.utils.skip_init(nn.Linear, channels[-1] * bottom_of(resolution) ** 2, 1)
        self.embedding = nn.utils.skip_init(nn.Embedding, num_classes, channels[-1])
        initialise(self, generator)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        features = images.contiguous(memory_format=self.memory_format)
        for down in self.downs:
            features = F.leaky_relu(down(features), SLOPE)
        with torch.autocast(images.device.type, enabled=False):
            features = features.float()
            logits: Tensor = self.linear(features.flatten(1)).squeeze(1)
            return logits + (self.embedding(labels) * features.mean((2, 3))).sum(1)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Weights from N(0, 0.02²), biases of zero; everything is drawn from `generator`."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            nn.init.normal_(module.weight, 0, INITIAL_STD, generator=generator)
            if not isinstance(module, nn.Embedding) and module.bias is not None:
                nn.init.zeros_(module.bias)


def build_dcgan(
    *,
    image_shape: tuple[int, int, int],
    width: int,
    latent_dim: int,
    num_classes: int,
    streams: tuple[torch.Generator, torch.Generator],
    workers: Workers | None,
    memory_format: torch.memory_format,
) -> tuple[Generator, Discriminator]:
    """Generator and discriminator for images (C, H, W), initialised from a random stream each.

    `workers` share the generator's batch statistics; None: each has its own. `UserError` for a resolution
    that DCGAN does not have.
    """
    channels, resolution, _ = image_shape
    generator = Generator(
        resolution=resolution,
        width=width,
        latent_dim=latent_dim,
        num_classes=num_classes,
        image_channels=channels,
        generator=streams[0],
        workers=workers or Workers(),
        memory_format=memory_format,
    )
    discriminator = Discriminator(
        resolution=resolution,
        width=width,
        num_classes=num_classes,
        image_channels=channels,
        generator=streams[1],
        memory_format=memory_format,
    )
    return generator, discriminator
