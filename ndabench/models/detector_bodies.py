"""The two bodies of a detector over a ResNet, and the parts of the detector that depend on them.

Sizes of anchors are those of the published detectors at a short side of 800 pixels, in proportion to the
short side given, and grids follow the encoder's own strides.

Importing this module imports torchvision.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, roi_align
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import LevelMapper

from ndabench.models.resnet import ResNet

PUBLISHED_SHORT_SIDE = 800
ANCHOR_SIDES = (32, 64, 128, 256, 512)
"""At the published short side; `c4` has them all on its one map, `fpn` one a level."""
SMALLEST_ANCHOR = 4.0
"""torchvision rounds anchors to whole pixels; smaller ones could become empty."""
ASPECT_RATIOS = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Parts:
    """The parts in which the two bodies differ."""

    body: nn.Module
    map_channels: int
    anchors: nn.Module
    anchors_per_cell: int
    candidates_per_proposal: int
    """How many times more go into the suppression of overlaps (in `fpn`: at each level) than may be left."""
    align: nn.Module
    head: Any
    head_channels: int


def c4_parts(network: ResNet, short_side: int) -> Parts:
    head = nn.Sequential(network.layer4, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.layer4 = nn.Sequential()  # lets maps through
    stride = network.strides[2]
    return Parts(
        body=_ThirdStage(network),
        map_channels=network.stage_channels[2],
        anchors=_Anchors((_anchor_sides(short_side),), (stride,)),
        anchors_per_cell=len(ANCHOR_SIDES) * len(ASPECT_RATIOS),
        candidates_per_proposal=6,
        align=_Align(14, 1 / stride),
        head=head,
        head_channels=network.dimension,
    )


def fpn_parts(network: ResNet, short_side: int) -> Parts:
    """With 256 channels and 1024 hidden units at the published widths, and fewer for narrow encoders."""
    channels = min(256, network.dimension // 2)
    strides = network.strides
    align = MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=7, sampling_ratio=2)
    # By default it guesses the strides from the first batch, and wrongly if that has much padding.
    align.scales = [1 / stride for stride in strides]
    align.map_levels = LevelMapper(0, 3, 224 * short_side / PUBLISHED_SHORT_SIDE, canonical_level=2)
    return Parts(
        body=_Pyramid(network, channels),
        map_channels=channels,
        anchors=_Anchors([(side,) for side in _anchor_sides(short_side)], (*strides, 2 * strides[-1])),
        anchors_per_cell=len(ASPECT_RATIOS),
        candidates_per_proposal=1,
        align=align,
        head=TwoMLPHead(channels * 7 * 7, 4 * channels),
        head_channels=4 * channels,
    )


class _ThirdStage(nn.Module):
    """`[N, C, H, W]` to the map that layer3 makes of it."""

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"0": self.network.stages(images)[2]}


class _Pyramid(nn.Module):
    """`[N, C, H, W]` to five maps of `channels` each."""

    def __init__(self, network: ResNet, channels: int) -> None:
        super().__init__()
        self.network = network
        self.pyramid = FeaturePyramidNetwork(
            list(network.stage_channels), channels, extra_blocks=LastLevelMaxPool()
        )

    def forward(self, images: Tensor) -> Mapping[str, Tensor]:
        stages = self.network.stages(images)
        return self.pyramid(OrderedDict((str(level), stage) for level, stage in enumerate(stages)))


class _Align(nn.Module):
    """RoIAlign on one map, with half-pixel centres as in detectron2; `MultiScaleRoIAlign` has none."""

    def __init__(self, side: int, scale: float) -> None:
        super().__init__()
        self.side = side
        self.scale = scale

    def forward(self, maps: Mapping[str, Tensor], boxes: list[Tensor], sizes: object) -> Tensor:
        return roi_align(maps["0"], boxes, self.side, self.scale, sampling_ratio=0, aligned=True)


class _Anchors(nn.Module):
    """torchvision's anchors on grids of known strides; it would divide the padded picture's size instead."""

    def __init__(self, sides: Sequence[Sequence[float]], strides: Sequence[int]) -> None:
        super().__init__()
        self.generator = AnchorGenerator(tuple(sides), (ASPECT_RATIOS,) * len(sides))
        self.strides = [[stride, stride] for stride in strides]

    def forward(self, images: ImageList, maps: Sequence[Tensor]) -> list[Tensor]:
        self.generator.set_cell_anchors(maps[0].dtype, maps[0].device)
        anchors = self.generator.grid_anchors([level.shape[-2:] for level in maps], self.strides)
        return [torch.cat(anchors)] * len(images.image_sizes)


def _anchor_sides(short_side: int) -> tuple[float, ...]:
    return tuple(max(SMALLEST_ANCHOR, side * short_side / PUBLISHED_SHORT_SIDE) for side in ANCHOR_SIDES)
