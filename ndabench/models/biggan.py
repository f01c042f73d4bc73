"""BigGAN (Brock et al., arXiv 1809.11096) for small images, with which negative data augmentation was
published.

At 32×32, width 64 and 128 latent dimensions these are the published networks, parameter for parameter:
residual blocks, spectral normalisation everywhere but in the class embeddings of the generator, class
conditioning by batch norm in the generator and by projection (Miyato and Koyama, arXiv 1802.05637) in the
discriminator. No attention, no shared embedding, no hierarchical latent.

1×1 shortcuts are computed at the lower of their two resolutions, where they commute with resampling.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.models.batch_norm import BatchNorm, ClassBatchNorm
from ndabench.models.resampling import convolve, convolve_then_pool, upsample_then_convolve
from ndabench.models.spectral_norm import (
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
    normalise_together,
)


@dataclass(frozen=True)
class Architecture:
    """Channels in multiples of the width, for one resolution of images."""

    generator: tuple[int, ...]
    """The first feature map, then each up-sampling block's output."""
    discriminator: tuple[int, ...]
    """Each block's output."""
    num_downsampling: int
    """How many of the discriminator's blocks, from the first, halve the resolution."""

    def bottom(self, resolution: int) -> int:
        """Height and width of the generator's first feature map, which every block doubles."""
        return resolution >> (len(self.generator) - 1)


def architecture(resolution: int) -> Architecture:
    """The architecture for square images; `UserError` for a resolution that has none."""
    if resolution not in ARCHITECTURES:
        known = ", ".join(f"{size}×{size}" for size in ARCHITECTURES)
        raise UserError(
            f"BigGAN makes images of {known}, not of {resolution}×{resolution}; set the data's image_size"
        )
    return ARCHITECTURES[resolution]


class Generator(nn.Module):
    """Noise and class labels to images: `[N, latent_dim]`, `[N]` int64 -> `[N, C, H, W]` float in [-1, 1]."""

    def __init__(
        self,
        *,
        resolution: int = 32,
        width: int = 64,
        latent_dim: int = 128,
        num_classes: int = 1,
        image_channels: int = 3,
        generator: torch.Generator,
        workers: Workers | None = None,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        """`workers` share their batch statistics; without them each worker has its own."""
        super().__init__()
        plan = architecture(resolution)
        channels = [width * multiple for multiple in plan.generator]
        together = workers or Workers()
        self.latent_dim = latent_dim
        self.memory_format = memory_format
        self.bottom = plan.bottom(resolution)
        self.linear = SpectralLinear(latent_dim, channels[0] * self.bottom**2, generator=generator)
        self.blocks = nn.ModuleList(
            UpBlock(inner, outer, num_classes, generator=generator, workers=together)
            for inner, outer in pairwise(channels)
        )
        self.norm = BatchNorm(channels[-1], workers=together)
        self.to_image = SpectralConv2d(channels[-1], image_channels, 3, generator=generator)

    def forward(self, noise: Tensor, labels: Tensor, batch_statistics: bool | None = None) -> Tensor:
        """`batch_statistics` (the mode's own choice by default) samples with the batch's own moments."""
        if batch_statistics is None:
            batch_statistics = self.training
        normalise_together(self)
        features = self.linear(noise).unflatten(1, (-1, self.bottom, self.bottom))
        features = features.contiguous(memory_format=self.memory_format)
        for block in self.blocks:
            features = block(features, labels, batch_statistics)
        features = F.relu(self.norm(features, batch_statistics), inplace=True)
        return torch.tanh(self.to_image(features).float())


class UpBlock(nn.Module):
    """A residual block of the generator that doubles the resolution."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_classes: int,
        *,
        generator: torch.Generator,
        workers: Workers,
    ) -> None:
        super().__init__()
        self.norm1 = ClassBatchNorm(in_channels, num_classes, generator=generator, workers=workers)
        self.conv1 = SpectralConv2d(
            in_channels, out_channels, 3, generator=generator, apply=upsample_then_convolve
        )
        self.norm2 = ClassBatchNorm(out_channels, num_classes, generator=generator, workers=workers)
        self.conv2 = SpectralConv2d(out_channels, out_channels, 3, generator=generator)
        self.shortcut = SpectralConv2d(in_channels, out_channels, 1, generator=generator)

    def forward(self, features: Tensor, labels: Tensor, batch_statistics: bool) -> Tensor:
        hidden = self.conv1(F.relu(self.norm1(features, labels, batch_statistics), inplace=True))
        hidden = self.conv2(F.relu(self.norm2(hidden, labels, batch_statistics), inplace=True))
        return hidden + F.interpolate(self.shortcut(features), scale_factor=2)


class Discriminator(nn.Module):
    """Images and class labels to logits, higher for real: `[N, C, H, W]`, `[N]` int64 -> `[N]` float32."""

    def __init__(
        self,
        *,
        resolution: int = 32,
        width: int = 64,
        num_classes: int = 1,
        image_channels: int = 3,
        generator: torch.Generator,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        plan = architecture(resolution)
        channels = [image_channels] + [width * multiple for multiple in plan.discriminator]
        self.memory_format = memory_format
        self.blocks = nn.ModuleList(
            DownBlock(
                inner,
                outer,
                first=index == 0,
                downsample=index < plan.num_downsampling,
                generator=generator,
            )
            for index, (inner, outer) in enumerate(pairwise(channels))
        )
        self.linear = SpectralLinear(channels[-1], 1, generator=generator)
        self.embedding = SpectralEmbedding(num_classes, channels[-1], generator=generator)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        normalise_together(self)
        features = images.contiguous(memory_format=self.memory_format)
        for block in self.blocks:
            features = block(features)
        with torch.autocast(images.device.type, enabled=False):
            pooled = F.relu(features).sum((2, 3), dtype=torch.float32)
            return self.linear(pooled).squeeze(1) + (self.embedding(labels) * pooled).sum(1)


class DownBlock(nn.Module):
    """A residual block of the discriminator, with 2×2 means after it where it halves the resolution.

    The first block sees images: it does not begin with a ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        first: bool,
        downsample: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.first, self.downsample = first, downsample
        apply = convolve_then_pool if downsample else convolve
        self.conv1 = SpectralConv2d(in_channels, out_channels, 3, generator=generator)
        self.conv2 = SpectralConv2d(out_channels, out_channels, 3, generator=generator, apply=apply)
        self.shortcut = (
            SpectralConv2d(in_channels, out_channels, 1, generator=generator)
            if downsample or in_channels != out_channels
            else nn.Identity()
        )

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.conv1(features if self.first else F.relu(features))
        hidden = self.conv2(F.relu(hidden, inplace=True))
        return hidden + self.shortcut(F.avg_pool2d(features, 2) if self.downsample else features)


def build_biggan(
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
    that BigGAN does not have.
    """
    channels, resolution, _ = image_shape
    generator = Generator(
        resolution=resolution,
        width=width,
        latent_dim=latent_dim,
        num_classes=num_classes,
        image_channels=channels,
        generator=streams[0],
        workers=workers,
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


ARCHITECTURES: Mapping[int, Architecture] = {
    8: Architecture(generator=(4, 4), discriminator=(4, 4, 4), num_downsampling=0),
    16: Architecture(generator=(4, 4, 4), discriminator=(4, 4, 4), num_downsampling=1),
    32: Architecture(generator=(4, 4, 4, 4), discriminator=(4, 4, 4, 4), num_downsampling=2),
    48: Architecture(generator=(8, 4, 2, 1), discriminator=(1, 2, 4, 8, 16), num_downsampling=4),
    64: Architecture(generator=(16, 16, 8, 4, 2), discriminator=(1, 2, 4, 8, 16), num_downsampling=4),
    128: Architecture(generator=(16, 16, 8, 4, 2, 1), discriminator=(1, 2, 4, 8, 16, 16), num_downsampling=5),
}
"""32 is the published one, 64 and 128 are BigGAN's own; 8 and 16 shorten the published one. 48, for
STL-10, has the channels of SNGAN's residual networks (Miyato et al., ICLR 2018) at a width of 64."""
