"""Training a detector on a detection set and running it on a split, on one worker or several."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.data.detection.scenes import Scene, SceneSplit
from ndabench.data.images import to_float
from ndabench.data.sampling import shuffled_batches
from ndabench.distributed import Workers
from ndabench.metrics.detection.average_precision import Detections
from ndabench.metrics.detection.config import DetectionConfig
from ndabench.metrics.features import full_precision
from ndabench.metrics.probing import units_between_pauses
from ndabench.models.detector import MAX_DETECTIONS, Detector, Target, long_side, resize, scale_boxes

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture (ITU-R BT.601, as Pillow's)."""


class DetectorDivergedError(RuntimeError):
    """A loss of a detector's training is not finite."""

    def __init__(self, loss: str, value: float, step: int) -> None:
        super().__init__(f"{loss} is {value} at step {step} of the detector's training")
        self.step = step


class DetectorTraining:
    """Training a detector in place by SGD with warm-up and steps down, which pauses now and then.

    Every random number of a picture (its size, its flip, which anchors and regions are sampled) comes from
    the picture's own seed, drawn for the global batch. Objects marked difficult are trained on, as in
    detectron2.
    """

    def __init__(
        self, detector: Detector, split: SceneSplit, config: DetectionConfig, *, seed: int, workers: Workers
    ) -> None:
        self.detector, self.split, self.config = detector, split, config
        self.seed, self.workers = seed, workers
        self.num_units, self.step = config.num_steps, 0
        self.pause_every = units_between_pauses(1)
        self.loss = math.nan
        """The loss of the last step, equal on all workers."""
        groups = _parameter_groups(detector, config.weight_decay)
        self.optimizer = torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
        self.draws = torch.Generator().manual_seed(seed)

    def run(self) -> Iterator[int]:
        """See `ProbeTraining`. Raises `DetectorDivergedError` where a loss is not finite."""
        size = self.config.batch_size
        batches = shuffled_batches(len(self.split), size, seed=self.seed, start=self.step)
        self.detector.train()
        while self.step < self.num_units:
            with _fixed_algorithms():
                self._train_on(next(batches))
            self.step += 1
            if self.step % self.pause_every == 0 or self.step == self.num_units:
                yield self.step

    def _train_on(self, rows: Tensor) -> None:
        """One step on this worker's pictures of a batch."""
        config, detector, workers = self.config, self.detector, self.workers
        words = torch.randint(2**62, (config.batch_size,), generator=self.draws)
        generators = [torch.Generator().manual_seed(word) for word in workers.shard(words).tolist()]
        examples = [
            _example(self.split[row], config, detector.image_channels, workers.device, generator)
            for row, generator in zip(workers.shard(rows).tolist(), generators, strict=True)
        ]
        pictures, targets = zip(*examples, strict=True)
        losses = detector.losses(pictures, targets, generators)
        self.optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        workers.average_gradients(detector.parameters())
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * config.rate_factor(self.step)
        self.loss = _finite_loss(losses, self.step, workers)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "detector": self.detector.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "draws": self.draws.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.step = state["step"]
        self.detector.load_state_dict(state["detector"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.draws.set_state(state["draws"].cpu())


@contextmanager
def _fixed_algorithms() -> Iterator[None]:
    """In this block cuDNN does not time its algorithms again for every size of picture."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@torch.no_grad()
def detect_objects(detector: Detector, split: SceneSplit, *, workers: Workers) -> list[Detections]:
    """The objects that `detector` finds in every picture of `split`, on the CPU, equal on all workers.

    One picture at a time: in a batch with a larger one it would be padded, and its boxes would move a little.
    """
    detector.eval()
    share = -(-len(split) // workers.world_size)
    # Where the last workers have no picture left, they repeat the last one.
    rows = workers.shard(torch.arange(share * workers.world_size).clamp(max=len(split) - 1))
    with full_precision():
        found = [
            _pack(*detector.detect(picture_of(split[row], detector.image_channels, workers.device)))
            for row in rows.tolist()
        ]
    return [_unpack(packed) for packed in workers.all_gather(torch.stack(found))[: len(split)].cpu()]


def picture_of(scene: Scene, channels: int, device: torch.device) -> Tensor:
    """The scene as an encoder of 1 or 3 channels sees it: float32 `[channels, H, W]` in [-1, 1]."""
    picture = to_float(scene.image.to(device))
    if channels == 3:
        return picture
    return torch.einsum("chw,c->hw", picture, picture.new_tensor(LUMA))[None]


def _example(
    scene: Scene, config: DetectionConfig, channels: int, device: torch.device, generator: torch.Generator
) -> tuple[Tensor, Target]:
    """The scene at one of the training sizes, mirrored or not."""
    sizes = config.train_short_sides or (config.short_side,)
    short_side = sizes[int(torch.randint(len(sizes), (), generator=generator))]
    original = picture_of(scene, channels, device)
    picture = resize(original, short_side, long_side(config.short_side))
    boxes = scale_boxes(scene.boxes.to(device), original.shape[-2:], picture.shape[-2:])
    if config.horizontal_flip and torch.rand((), generator=generator) < 0.5:
        picture = picture.flip(-1)
        x1, y1, x2, y2 = boxes.unbind(1)
        width = picture.shape[-1]
        boxes = torch.stack([width - x2, y1, width - x1, y2], 1)
    return picture, {"boxes": boxes, "labels": scene.labels.to(device)}


def _parameter_groups(detector: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Batch norm's gains and biases do not decay, as in detectron2."""
    norms = [module for module in detector.modules() if isinstance(module, nn.BatchNorm2d)]
    of_norms = {id(parameter) for norm in norms for parameter in norm.parameters()}
    decaying = [parameter for parameter in detector.parameters() if id(parameter) not in of_norms]
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": [parameter for norm in norms for parameter in norm.parameters()], "weight_decay": 0.0},
    ]


def _finite_loss(losses: dict[str, Tensor], step: int, workers: Workers) -> float:
    """The sum of the losses' means over the workers."""
    means = workers.all_reduce_sum(torch.stack([loss.detach() for loss in losses.values()]))
    values = (means / workers.world_size).tolist()
    for name, value in zip(losses, values, strict=True):
        if not abs(value) < float("inf"):
            raise DetectorDivergedError(name, value, step)
    return float(sum(values))


def _pack(boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """`[MAX_DETECTIONS, 6]`: box, score and label; filled up with -1, so that workers can exchange it."""
    rows = torch.cat([boxes, scores[:, None], labels[:, None].to(boxes.dtype)], 1)
    return F.pad(rows, (0, 0, 0, MAX_DETECTIONS - len(rows)), value=-1.0)


def _unpack(packed: Tensor) -> Detections:
    rows = packed[packed[:, 5] >= 0]
    return Detections(rows[:, :4], rows[:, 4], rows[:, 5].long())
