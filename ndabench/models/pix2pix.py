"""The networks of pix2pix (Isola et al., CVPR 2017, arXiv 1611.07004): a U-Net and a PatchGAN discriminator.

At 256×256, width 64, three channels each, they are the published networks, parameter for parameter: 54.414 M
and 2.769 M. The published batch norm sees batches of one picture, and so normalises each by its own moments,
in training and in testing; here that holds at any batch size (instance norm with weights and biases).
"""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from ndabench.errors import UserError

MULTIPLES = (1, 2, 4, 8)
"""Channels of the first levels, in multiples of the width; all deeper ones have those of the last."""
DROPOUT = 0.5
INITIAL_STD = 0.02

Keep = Callable[[torch.Size], Tensor]
"""Gives a mask of the shape: 1 where a feature is kept, 0 where it is dropped."""


class UNet(nn.Module):
    """Pictures to pictures of the same size: `[N, in, S, S] -> [N, out, S, S]`, without a last nonlinearity.

    Each of log2(S) levels halves the side, down to a single position, and each level above the lowest sees
    what the level below makes of its features next to the features themselves. The published network drops
    half of the features where it climbs between levels of equally many channels: that is its only noise.
    """

    def __init__(
        self, *, size: int, in_channels: int, out_channels: int, width: int, generator: torch.Generator
    ) -> None:
        """`UserError` for a side that is no power of two of at least 4."""
        super().__init__()
        depth = size.bit_length() - 1
        if depth < 2 or size != 1 << depth:
            raise UserError(f"a U-Net needs a side of 4, 8, 16 … pixels, not {size}; set image_size")
        channels = [width * MULTIPLES[min(level, len(MULTIPLES) - 1)] for level in range(depth)]
        self.down = nn.ModuleList(
            skip_init(nn.Conv2d, inner, outer, 4, 2, 1, bias=False)
            for inner, outer in pairwise([in_channels, *channels])
        )
        self.down_norms = nn.ModuleList(_norm(outer) for outer in channels[1:-1])
        below = [*channels[:-1], channels[-1] // 2]  # the lowest level has no skip connection
        outputs = [out_channels, *channels[:-1]]
        self.up = nn.ModuleList(
            skip_init(nn.ConvTranspose2d, 2 * inner, outer, 4, 2, 1, bias=level == 0)
            for level, (inner, outer) in enumerate(zip(below, outputs, strict=True))
        )
        self.up_norms = nn.ModuleList(_norm(outer) for outer in outputs[1:])
        self.drops = [level > len(MULTIPLES) - 1 and level < depth - 1 for level in range(depth)]
        initialise(self, generator)

    def forward(self, pictures: Tensor, keep: Keep | None = None) -> Tensor:
        """Without `keep` nothing is dropped."""
        skips: list[Tensor] = []
        features = pictures
        lowest = len(self.down) - 1
        for level, convolution in enumerate(self.down):
            features = convolution(F.leaky_relu(features, 0.2) if level else features)
            if 0 < level < lowest:
                features = self.down_norms[level - 1](features)
            skips.append(features)
        for level in range(lowest, -1, -1):
            inner = features if level == lowest else torch.cat([skips[level], features], dim=1)
            features = self.up[level](F.relu(inner))
            if level:
                features = self.up_norms[level - 1](features)
            if self.drops[level] and keep is not None:
                features = features * keep(features.shape) / (1 - DROPOUT)
        return features


class PatchDiscriminator(nn.Module):
    """Pictures to a logit for each patch: `[N, C, H, W] -> [N, 1, h, w]`. With three layers that halve the
    side a patch has 70×70 pixels."""

    def __init__(
        self, *, size: int, in_channels: int, width: int, num_layers: int, generator: torch.Generator
    ) -> None:
        """`UserError` for a side from which no patch is left to normalise."""
        super().__init__()
        if (size >> num_layers) < 3:
            raise UserError(
                f"a discriminator of {num_layers} halving layers needs pictures of {3 << num_layers} pixels, "
                f"not {size}; set image_size or patch_layers"
            )
        channels = [width * min(2**level, MULTIPLES[-1]) for level in range(num_layers + 1)]
        layers: list[nn.Module] = [skip_init(nn.Conv2d, in_channels, channels[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for level, (inner, outer) in enumerate(pairwise(channels), start=1):
            stride = 2 if level < num_layers else 1
            convolution = skip_init(nn.Conv2d, inner, outer, 4, stride, 1, bias=False)
            layers += [convolution, _norm(outer), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, skip_init(nn.Conv2d, channels[-1], 1, 4, 1, 1))
        initialise(self, generator)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.layers(pictures)
        return logits


def _norm(channels: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(channels, affine=True)


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Convolutions from N(0, 0.02²), weights of norms from N(1, 0.02²), biases zero, as published."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.InstanceNorm2d):
            mean = float(isinstance(module, nn.InstanceNorm2d))
            module.weight.normal_(mean, INITIAL_STD, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
