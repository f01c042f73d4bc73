"""Faster R-CNN (Ren et al., arXiv 1506.01497) on a pre-trained ResNet, put together from torchvision's parts.

Two bodies:
- `c4`, the paper's and MoCo's (He et al., arXiv 1911.05722, detectron2's R50-C4): stem to layer3 make one
  map; regions are aligned to 14×14, go through layer4 (whose stride makes them 7×7) and are averaged.
- `fpn`: a feature pyramid over the four stages (Lin et al., arXiv 1612.03144) with torchvision's heads.

All layers are fine-tuned, also those of an encoder that was frozen before. Batch norm has two modes:
- `frozen`: moments, gains and biases stay as pre-training left them, as is usual where few pictures fit in
  a batch. This is not MoCo's recipe.
- `live`: MoCo's recipe. Moments of the batch (of all workers' batches together), gains and biases trained,
  and in `c4` one more batch norm after layer4, which puts features of any pre-training on one scale.

Pictures are what encoders see: floats in [-1, 1], with no other normalisation. Sizes of anchors are those of
the published detectors at a short side of 800 pixels, in proportion to the short side given here, and grids
follow the encoder's own strides, so that small canvases and stems without striding also work.

Importing this module imports torchvision.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FrozenBatchNorm2d

from ndabench.distributed import Workers
from ndabench.models.detector_bodies import Parts, c4_parts, fpn_parts
from ndabench.models.resnet import ResNet
from ndabench.models.split_batch_norm import SplitBatchNorm

Body = Literal["c4", "fpn"]
BatchNormMode = Literal["frozen", "live"]

LONG_PER_SHORT = 5 / 3
"""The longest side allowed; published as 1333 at 800."""
MAX_DETECTIONS = 100
"""Most objects found in a picture."""

Target = dict[str, Tensor]
"""What to find in a picture: `boxes`, float32 `[n, 4]` in its pixels, and `labels`, int64 `[n]` from 0."""


class Detector(nn.Module):
    """Faster R-CNN over a copy of `encoder`, which stays as it is; new layers are drawn from `seed`."""

    def __init__(
        self,
        encoder: ResNet,
        *,
        num_classes: int,
        body: Body,
        batch_norm: BatchNormMode,
        short_side: int,
        num_rois: int,
        num_proposals: int,
        seed: int,
        workers: Workers,
    ) -> None:
        """`num_rois` regions of a picture are sampled in training (published: 512), out of twice as many
        proposals as go through the box head in testing, `num_proposals` (published: 1000); `short_side` is
        that of tests."""
        super().__init__()
        self.workers = workers
        self.short_side = short_side
        self.image_channels = encoder.image_channels
        self.stride = encoder.strides[-1]
        network = copy.deepcopy(encoder).requires_grad_(True)
        _replace_batch_norm(network, _freeze if batch_norm == "frozen" else _revive(workers))
        with torch.random.fork_rng(devices=[]):  # torchvision's layers draw from the global generator
            torch.default_generator.manual_seed(seed)
            parts = c4_parts(network, short_side) if body == "c4" else fpn_parts(network, short_side)
            if body == "c4" and batch_norm == "live":
                parts.head.insert(1, SplitBatchNorm(encoder.dimension, splits=1, workers=workers))
            rpn_head = RPNHead(parts.map_channels, parts.anchors_per_cell)
            predictor = _predictor(parts.head_channels, num_classes)
        self.body = parts.body
        self.rpn = _rpn(parts, rpn_head, num_proposals)
        self.roi_heads = _roi_heads(parts, predictor, num_rois)

    def losses(
        self, pictures: Sequence[Tensor], targets: Sequence[Target], generators: Sequence[Generator]
    ) -> dict[str, Tensor]:
        """The four losses of this worker's pictures, float `[C, H, W]` in [-1, 1] and already resized.

        A picture's anchors and regions are sampled by its own generator, on the CPU. Losses are weighted
        such that their mean over the workers is the loss of all their pictures as one batch.
        """
        images = self._batch(pictures, together=True)
        wanted = [{"boxes": target["boxes"], "labels": target["labels"] + 1} for target in targets]
        samplers = (self.rpn.fg_bg_sampler, self.roi_heads.fg_bg_sampler)
        for sampler in samplers:
            sampler.generators = generators
        maps = self.body(images.tensors)
        proposals, rpn_losses = self.rpn(images, maps, wanted)
        _, head_losses = self.roi_heads(maps, proposals, images.image_sizes, wanted)
        # torchvision divides each loss by the number of samples drawn, which is lower in small pictures.
        own = torch.tensor([float(sampler.num_drawn) for sampler in samplers], device=images.tensors.device)
        of_rpn, of_head = own * self.workers.world_size / self.workers.all_reduce_sum(own.clone())
        return {
            **{name: loss * of_rpn for name, loss in rpn_losses.items()},
            **{name: loss * of_head for name, loss in head_losses.items()},
        }

    @torch.no_grad()
    def detect(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Up to `MAX_DETECTIONS` objects in a picture `[C, H, W]` in [-1, 1] of any size, in evaluation mode.

        Boxes, float32 `[n, 4]` in its pixels, their scores `[n]` in (0.05, 1], best first, and int64 labels
        `[n]` from 0.
        """
        assert not self.training
        resized = resize(picture, self.short_side, long_side(self.short_side))
        images = self._batch([resized], together=False)
        maps = self.body(images.tensors)
        proposals, _ = self.rpn(images, maps)
        (found,), _ = self.roi_heads(maps, proposals, images.image_sizes)
        boxes = scale_boxes(found["boxes"], resized.shape[-2:], picture.shape[-2:])
        return boxes, found["scores"], found["labels"] - 1

    def _batch(self, pictures: Sequence[Tensor], *, together: bool) -> ImageList:
        """One tensor of all, padded with zeros to the largest of them (`together`: of all workers')."""
        sizes = [(picture.shape[-2], picture.shape[-1]) for picture in pictures]
        everywhere = torch.tensor(sizes, device=pictures[0].device)
        if together:
            everywhere = self.workers.all_gather(everywhere)
        height, width = (-(-side // self.stride) * self.stride for side in everywhere.amax(0).tolist())
        padded = [
            F.pad(picture, (0, width - w, 0, height - h))
            for picture, (h, w) in zip(pictures, sizes, strict=True)
        ]
        return ImageList(torch.stack(padded), sizes)


def _predictor(channels: int, num_classes: int) -> FastRCNNPredictor:
    """The last layer, as detectron2 initialises it; torchvision's has one class more for the background."""
    predictor = FastRCNNPredictor(channels, num_classes + 1)
    nn.init.normal_(predictor.cls_score.weight, std=0.01)
    nn.init.normal_(predictor.bbox_pred.weight, std=0.001)
    nn.init.zeros_(predictor.cls_score.bias)
    nn.init.zeros_(predictor.bbox_pred.bias)
    return predictor


def _rpn(parts: Parts, head: RPNHead, num_proposals: int) -> RegionProposalNetwork:
    """Proposes regions, in training twice as many as in testing."""
    kept = {"training": 2 * num_proposals, "testing": num_proposals}
    rpn = RegionProposalNetwork(
        parts.anchors,
        head,
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={key: count * parts.candidates_per_proposal for key, count in kept.items()},
        post_nms_top_n=kept,
        nms_thresh=0.7,
    )
    rpn.fg_bg_sampler = SeededSampler(256, 0.5)
    return rpn


def _roi_heads(parts: Parts, predictor: FastRCNNPredictor, num_rois: int) -> RoIHeads:
    """Classifies the proposed regions and refines their boxes."""
    heads = RoIHeads(
        parts.align,
        parts.head,
        predictor,
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=num_rois,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=0.05,
        nms_thresh=0.5,
        detections_per_img=MAX_DETECTIONS,
    )
    heads.fg_bg_sampler = SeededSampler(num_rois, 0.25)
    return heads


class SeededSampler:
    """torchvision's `BalancedPositiveNegativeSampler` with a generator for each picture.

    torchvision draws from the global generator, one picture after the other; here a picture's draw does not
    depend on the other pictures of the batch, and so not on how workers share a batch.
    """

    def __init__(self, num_samples: int, positive_fraction: float) -> None:
        self.num_samples = num_samples
        self.max_positives = int(num_samples * positive_fraction)
        self.generators: Sequence[Generator] = ()
        self.num_drawn = 0

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """For every picture's labels `[n]` (-1: ignored, 0: background): uint8 masks of what was drawn."""
        positives, negatives = [], []
        self.num_drawn = 0
        for label, generator in zip(labels, self.generators, strict=True):
            positive, num_positives = _draw(label >= 1, self.max_positives, generator)
            negative, num_negatives = _draw(label == 0, self.num_samples - num_positives, generator)
            positives.append(positive)
            negatives.append(negative)
            self.num_drawn += num_positives + num_negatives
        return positives, negatives


def _draw(candidates: Tensor, count: int, generator: Generator) -> tuple[Tensor, int]:
    where = torch.where(candidates)[0]
    drawn = where[torch.randperm(len(where), generator=generator)[:count].to(where.device)]
    mask = torch.zeros_like(candidates, dtype=torch.uint8)
    mask[drawn] = 1
    return mask, len(drawn)


def long_side(short_side: int) -> int:
    """The longest side that a picture of this short side may have."""
    return int(short_side * LONG_PER_SHORT)


def resize(picture: Tensor, short: int, long: int) -> Tensor:
    """`[C, H, W]` with its short side at `short`, or its long side at `long` where that is less."""
    height, width = picture.shape[-2:]
    scale = min(short / min(height, width), long / max(height, width))
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    if size == [height, width]:
        return picture
    return F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)[0]


def scale_boxes(boxes: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Boxes `[n, 4]` of a picture of (height, width) `before` in one of `after`."""
    down, across = after[0] / before[0], after[1] / before[1]
    return boxes * boxes.new_tensor([across, down, across, down])


def _replace_batch_norm(network: nn.Module, replace: Callable[[nn.BatchNorm2d], nn.Module]) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, replace(child))


def _freeze(norm: nn.BatchNorm2d) -> nn.Module:
    frozen = FrozenBatchNorm2d(norm.num_features, eps=norm.eps)
    frozen.load_state_dict(norm.state_dict())
    return frozen


def _revive(workers: Workers) -> Callable[[nn.BatchNorm2d], nn.Module]:
    def revive(norm: nn.BatchNorm2d) -> nn.Module:
        live = SplitBatchNorm(norm.num_features, splits=1, workers=workers)
        live.load_state_dict(norm.state_dict())
        return live

    return revive
