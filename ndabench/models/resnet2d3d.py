"""The 2D3D ResNets of DPC (Han et al., arXiv 1909.04656): clips to maps of features, of any width.

Kernels are 1×3×3 in the first two stages and 3×3×3 in the last two, which also halve time; the last stage has
no more channels than the third, and no ReLU at its end, so that what is predicted may be negative. The names
of parameters and buffers are those of the published code, and so are their shapes at width 64.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.models.resnet import Stem
from ndabench.models.split_batch_norm import SplitBatchNorm3d, running_moments_kept

Norm = Callable[[int], nn.Module]

FLAT, DEEP = (1, 3), (3, 3)
"""Kernel sizes over (time, space)."""


class ResNet2d3d(nn.Module):
    """`[N, C, T, H, W]` float -> `[N, dimension, T / 4, H / stride, W / stride]`, sides rounded up."""

    def __init__(
        self,
        *,
        depth: int,
        width: int = 64,
        stem: Stem = "imagenet",
        image_channels: int = 3,
        batch_norm_splits: int = 1,
        workers: Workers | None = None,
        recompute: bool = False,
        generator: torch.Generator,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        """`width` is the number of channels of the first stage, published as 64; the maps have four times as
        many. The published stem is `imagenet`, with stride 32 in all; `cifar` is one for small pictures, a
        1×3×3 convolution that keeps the resolution, with stride 8 in all.

        With `recompute` a training step keeps the stages' inputs only and computes the rest once more for
        the gradients (activation checkpointing): less memory for a third more time.

        `batch_norm_splits` and `workers` are those of `SplitBatchNorm3d`. Raises `UserError` for a depth that
        is not in `NUMS_BLOCKS`.
        """
        super().__init__()
        if depth not in NUMS_BLOCKS:
            raise UserError(
                f"there is no 2D3D ResNet-{depth} here; the depths are {', '.join(map(str, NUMS_BLOCKS))}"
            )
        norm = partial(SplitBatchNorm3d, splits=batch_norm_splits, workers=workers)
        self.depth, self.width, self.stem, self.image_channels = depth, width, stem, image_channels
        self.recompute, self.memory_format = recompute, memory_format
        self.dimension = 4 * width
        self.stride = 8 if stem == "cifar" else 32

        kernel_size, stride = (3, 1) if stem == "cifar" else (7, 2)
        self.conv1 = convolution(image_channels, width, (1, kernel_size), (1, stride), generator=generator)
        self.bn1 = norm(width)
        self.maxpool = nn.Identity() if stem == "cifar" else nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        stage = partial(_stage, norm=norm, generator=generator)
        num1, num2, num3, num4 = NUMS_BLOCKS[depth]
        self.layer1 = stage(num1, width, width, FLAT, (1, 1))
        self.layer2 = stage(num2, width, 2 * width, FLAT, (1, 2))
        self.layer3 = stage(num3, 2 * width, 4 * width, DEEP, (2, 2))
        self.layer4 = stage(num4, 4 * width, 4 * width, DEEP, (2, 2), final_relu=False)
        self.to(memory_format=memory_format)

    def forward(self, clips: Tensor) -> Tensor:
        features = clips.contiguous(memory_format=self.memory_format)
        stages = (self._stem, self.layer1, self.layer2, self.layer3, self.layer4)
        for stage in stages:
            features = self._recomputed(stage, features) if self.recompute else stage(features)
        return features

    def _stem(self, clips: Tensor) -> Tensor:
        return self.maxpool(F.relu(self.bn1(self.conv1(clips)), inplace=True))

    def _recomputed(self, stage: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
        """The second pass must not move the running moments again."""
        return checkpoint(
            stage,
            features,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), running_moments_kept(self)),
        )


class Block(nn.Module):
    """Two convolutions with a shortcut; `kernel_size` and `stride` are (time, space)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: tuple[int, int],
        stride: tuple[int, int],
        *,
        final_relu: bool,
        norm: Norm,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.final_relu = final_relu
        self.conv1 = convolution(in_channels, channels, kernel_size, stride, generator=generator)
        self.bn1 = norm(channels)
        self.conv2 = convolution(channels, channels, kernel_size, generator=generator)
        self.bn2 = norm(channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != (1, 1) or in_channels != channels:
            shortcut = convolution(in_channels, channels, (1, 1), stride, generator=generator)
            self.downsample = nn.Sequential(shortcut, norm(channels))

    def forward(self, features: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(features)), inplace=True)
        hidden = self.bn2(self.conv2(hidden)) + self.downsample(features)
        return F.relu(hidden, inplace=True) if self.final_relu else hidden


def _stage(
    num_blocks: int,
    in_channels: int,
    channels: int,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    *,
    final_relu: bool = True,
    norm: Norm,
    generator: torch.Generator,
) -> nn.Sequential:
    """The first block changes channels and resolution, the others keep them; the last may go without ReLU."""
    blocks = []
    for index in range(num_blocks):
        relu = final_relu or index < num_blocks - 1
        block = Block(
            in_channels, channels, kernel_size, stride, final_relu=relu, norm=norm, generator=generator
        )
        blocks.append(block)
        in_channels, stride = channels, (1, 1)
    return nn.Sequential(*blocks)


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    *,
    generator: torch.Generator,
) -> nn.Conv3d:
    """A convolution over (time, space) without bias, initialised as He et al. (arXiv 1502.01852) by the
    fan-out."""
    (time, space), (stride_time, stride_space) = kernel_size, stride
    layer = nn.utils.skip_init(
        nn.Conv3d if time == 1 else DeepConv3d,
        in_channels,
        out_channels,
        (time, space, space),
        (stride_time, stride_space, stride_space),
        padding=(time // 2, space // 2, space // 2),
        bias=False,
    )
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    return layer


class DeepConv3d(nn.Conv3d):
    """A convolution over time, which on CPUs autocast leaves in float32.

    In bfloat16 there (torch 2.15, AVX-512) part of the kernel's gradient is never written where maps have
    fewer frames than it, but more than one; DPC's blocks of five frames come down to two under a kernel of
    three.
    """

    def forward(self, maps: Tensor) -> Tensor:
        if maps.device.type != "cpu":
            return super().forward(maps)
        with torch.autocast("cpu", enabled=False):
            return super().forward(maps.to(self.weight.dtype))


NUMS_BLOCKS: Mapping[int, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""The number of blocks in each stage, by depth."""
