"""ResNet-18, 34 and 50 (He et al., arXiv 1512.03385) as encoders: without classifier, of any width.

Bottlenecks have their stride in the 3×3 convolution, as is usual now. The names of parameters and buffers
are torchvision's, and so are their shapes at width 64. The `cifar` stem for small images is a 3×3
convolution that keeps the resolution (MoCo and SimCLR use it on CIFAR); the `imagenet` stem is the published
one, a 7×7 convolution and a maximum that together leave a quarter of the resolution.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.models.split_batch_norm import SplitBatchNorm

Stem = Literal["cifar", "imagenet"]
Norm = Callable[[int], nn.Module]
Block = type["BasicBlock"] | type["Bottleneck"]


class ResNet(nn.Module):
    """Images to features, `[N, C, H, W]` float -> `[N, dimension]` float32."""

    def __init__(
        self,
        *,
        depth: int,
        width: int = 64,
        stem: Stem,
        image_channels: int = 3,
        batch_norm_splits: int = 1,
        workers: Workers | None = None,
        generator: torch.Generator,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        """`width` is the number of channels of the first stage's 3×3 convolutions, published as 64.

        `batch_norm_splits` and `workers` are those of `SplitBatchNorm`. Raises `UserError` for a depth that
        is not in `ARCHITECTURES`.
        """
        super().__init__()
        if depth not in ARCHITECTURES:
            raise UserError(
                f"there is no ResNet-{depth} here; the depths are {', '.join(map(str, ARCHITECTURES))}"
            )
        block, nums_blocks = ARCHITECTURES[depth]
        norm = partial(SplitBatchNorm, splits=batch_norm_splits, workers=workers)
        self.depth, self.width, self.stem, self.image_channels = depth, width, stem, image_channels
        self.memory_format = memory_format
        self.stage_channels = tuple(width * multiple * block.expansion for multiple in (1, 2, 4, 8))
        self.dimension = self.stage_channels[-1]
        self.strides = (1, 2, 4, 8) if stem == "cifar" else (4, 8, 16, 32)

        kernel_size, stride = (3, 1) if stem == "cifar" else (7, 2)
        self.conv1 = convolution(image_channels, width, kernel_size, stride, generator=generator)
        self.bn1 = norm(width)
        self.maxpool = nn.Identity() if stem == "cifar" else nn.MaxPool2d(3, stride=2, padding=1)
        inputs = (width, *self.stage_channels)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(block, num_blocks, inputs[index], width * 2**index, 2 if index else 1, norm, generator)
            for index, num_blocks in enumerate(nums_blocks)
        )
        self.to(memory_format=memory_format)

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(images)[-1].mean((2, 3), dtype=torch.float32)

    def stages(self, images: Tensor) -> list[Tensor]:
        """Each stage's maps, `[N, stage_channels[i], H / strides[i], W / strides[i]]`, sides rounded up."""
        features = images.contiguous(memory_format=self.memory_format)
        features = self.maxpool(F.relu(self.bn1(self.conv1(features)), inplace=True))
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)
            maps.append(features)
        return maps


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut, `[N, in, H, W] -> [N, channels, H / stride, W / stride]`."""

    expansion = 1

    def __init__(
        self, in_channels: int, channels: int, stride: int, *, norm: Norm, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.conv1 = convolution(in_channels, channels, 3, stride, generator=generator)
        self.bn1 = norm(channels)
        self.conv2 = convolution(channels, channels, 3, generator=generator)
        self.bn2 = norm(channels)
        self.downsample = _shortcut(in_channels, channels, stride, norm, generator)

    def forward(self, features: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(features)), inplace=True)
        hidden = self.bn2(self.conv2(hidden))
        return F.relu(hidden + self.downsample(features), inplace=True)


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions with a shortcut, to `4 * channels` channels."""

    expansion = 4

    def __init__(
        self, in_channels: int, channels: int, stride: int, *, norm: Norm, generator: torch.Generator
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = convolution(in_channels, channels, 1, generator=generator)
        self.bn1 = norm(channels)
        self.conv2 = convolution(channels, channels, 3, stride, generator=generator)
        self.bn2 = norm(channels)
        self.conv3 = convolution(channels, out_channels, 1, generator=generator)
        self.bn3 = norm(out_channels)
        self.downsample = _shortcut(in_channels, out_channels, stride, norm, generator)

    def forward(self, features: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(features)), inplace=True)
        hidden = F.relu(self.bn2(self.conv2(hidden)), inplace=True)
        hidden = self.bn3(self.conv3(hidden))
        return F.relu(hidden + self.downsample(features), inplace=True)


def _stage(
    block: Block,
    num_blocks: int,
    in_channels: int,
    channels: int,
    stride: int,
    norm: Norm,
    generator: torch.Generator,
) -> nn.Sequential:
    """The first block changes channels and resolution, the others keep them."""
    blocks = [block(in_channels, channels, stride, norm=norm, generator=generator)]
    for _ in range(num_blocks - 1):
        blocks.append(block(channels * block.expansion, channels, 1, norm=norm, generator=generator))
    return nn.Sequential(*blocks)


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, *, generator: torch.Generator
) -> nn.Conv2d:
    """A convolution without bias, initialised as He et al. (arXiv 1502.01852) by the fan-out."""
    kind = _NarrowShortcut if kernel_size == 1 and stride > 1 and in_channels < 8 else nn.Conv2d
    layer = nn.utils.skip_init(
        kind, in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
    )
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    return layer


class _NarrowShortcut(nn.Conv2d):
    """A 1×1 convolution with a stride, computed as one without over every `stride`-th pixel.

    From fewer than 8 channels, in channels_last and on CPUs without AVX-512, the gradient of torch 2.15's own
    overwrites memory outside its tensor.
    """

    def forward(self, maps: Tensor) -> Tensor:
        rows, columns = self.stride
        return F.conv2d(maps[..., ::rows, ::columns], self.weight)


def _shortcut(
    in_channels: int, out_channels: int, stride: int, norm: Norm, generator: torch.Generator
) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        convolution(in_channels, out_channels, 1, stride, generator=generator), norm(out_channels)
    )


ARCHITECTURES: Mapping[int, tuple[Block, tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}
"""The kind of block and the number of blocks in each stage, by depth."""
