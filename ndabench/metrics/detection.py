"""Detection transfer: how good a detector becomes that starts from a pre-trained encoder.

A Faster R-CNN over a copy of the encoder is trained on the training split of a detection set, all layers of
it, and measured once on validation (`val_*`) and, where asked for, with the same weights on the test split.
The values are VOC's (2007, 11 points) and COCO's (101 points) AP over the IoU thresholds 0.5 to 0.95, AP50
and AP75, in percent.

The defaults train in about a minute on two cores. Those of MoCo (He et al., arXiv 1911.05722, section 4.2,
detectron2's R50-C4), which the paper's table follows, are: batch_norm live, num_steps 24000, batch_size 16,
learning_rate 0.02, warm_up_steps 100, train_short_sides 480 to 800 by 32, short_side 800, horizontal_flip,
num_rois 512, num_proposals 1000, on VOC 07+12.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from ndabench.data.config import SplitName
from ndabench.data.detection.scattered_digits import ScatteredDigitsConfig
from ndabench.data.detection.scenes import DetectionData
from ndabench.data.registry import SceneDataConfig, load_data
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.measurement import Better, Measurement
from ndabench.metrics.average_precision import (
    COCO_PROTOCOL,
    VOC07_PROTOCOL,
    Detections,
    coco_average_precision,
    require_pycocotools,
    voc07_average_precision,
)
from ndabench.metrics.named import NamedEvaluation
from ndabench.models.resnet import ResNet

ARTIFACT = "detections.png"
NUM_DRAWN = 8
"""Test pictures on the sheet of detections."""


class DetectionConfig(NamedEvaluation):
    """A detector's training and its measurement."""

    name: Literal["detection"] = "detection"
    data: SceneDataConfig = ScatteredDigitsConfig()
    body: Literal["c4", "fpn"] = "c4"
    batch_norm: Literal["frozen", "live"] = "live"
    """Frozen moments, gains and biases, or MoCo's recipe; see `ndabench.models.detector`."""
    num_steps: int = Field(300, ge=1)
    batch_size: int = Field(4, ge=1)
    """Pictures in a step, of all workers together."""
    learning_rate: float = Field(0.02, gt=0)
    """The `fpn` body of a narrow encoder wants less in small batches: 0.02 diverged, 0.005 did not."""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    warm_up_steps: int = Field(20, ge=0)
    decay_at: tuple[float, ...] = (0.75, 0.9167)
    """Shares of the training after which the learning rate falls to a tenth."""
    short_side: int = Field(96, ge=32, le=2048)
    """Pixels of the shorter side in testing; the longer one may have 5/3 of that."""
    train_short_sides: tuple[int, ...] | None = Field(None, min_length=1)
    """In training one of these is drawn for every picture; None: `short_side`."""
    horizontal_flip: bool = False
    """Whether half of the training pictures are mirrored."""
    num_rois: int = Field(32, ge=8)
    """Regions of a picture that the box head is trained on."""
    num_proposals: int = Field(100, ge=1)
    """Regions of a picture that the box head looks at in testing; in training it is offered twice as many."""
    every: None = None
    """A detector is trained after the encoder's training only."""

    better: ClassVar[Better] = "higher"

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(f"{kind}_{value}" for kind in ("voc07", "coco") for value in ("ap", "ap50", "ap75"))

    @model_validator(mode="after")
    def _sensible(self) -> "DetectionConfig":
        if any(not 0 < share < 1 for share in self.decay_at):
            raise ValueError(f"decay_at are shares between 0 and 1, got {list(self.decay_at)}")
        if any(side < 32 for side in self.train_short_sides or ()):
            raise ValueError("train_short_sides must be at least 32")
        return self


def prepare_detection(config: DetectionConfig, image_channels: int, *, num_workers: int = 1) -> None:
    """Raises what could stop `evaluate_detection` later, save the encoder's kind, as `UserError`: encoders of
    other than grey or RGB images, a batch that the workers cannot share, data that are missing or too few."""
    if image_channels not in (1, 3):
        raise UserError(
            f"detection: its pictures are grey or RGB, but the encoder sees {image_channels} channels"
        )
    if config.batch_size % num_workers:
        raise UserError(
            f"detection: batch_size {config.batch_size} cannot be shared equally by {num_workers} workers; "
            f"make it a multiple of {num_workers}"
        )
    require_pycocotools()
    data = load_data(config.data, torch.device("cpu"))
    if config.batch_size > len(data.train):
        raise UserError(
            f"detection: batch_size {config.batch_size} must not exceed the {len(data.train)} training "
            f"pictures of {data.name}"
        )


def evaluate_detection(
    config: DetectionConfig, encoder: nn.Module, *, test: bool, seed: int, workers: Workers
) -> tuple[dict[str, Measurement], dict[str, bytes]]:
    """Measurements by name, alike on every worker, and artifacts by file name, on the main worker only.

    `encoder` stays bit-identical. The detector's new layers, the order of its pictures and everything else
    that is random follow from `seed`. Seconds of all values together are those that the whole took.
    Where a loss left the finite numbers all values are NaN, and `detection_diverged_at` says at which step:
    the encoder's training, long before it, stands. Raises `UserError` for an encoder that is no ResNet, and
    as `prepare_detection` does.
    """
    from ndabench.metrics.detection_sheet import detection_sheet
    from ndabench.metrics.detector_training import DetectorDivergedError, detect_objects
    from ndabench.models.detector import Detector

    start = perf_counter()
    resnet = require_resnet(encoder)
    prepare_detection(config, resnet.image_channels, num_workers=workers.world_size)
    data = load_data(config.data, torch.device("cpu"))
    detector = Detector(
        resnet,
        num_classes=len(data.class_names),
        body=config.body,
        batch_norm=config.batch_norm,
        short_side=config.short_side,
        num_rois=config.num_rois,
        num_proposals=config.num_proposals,
        seed=seed,
        workers=workers,
    ).to(workers.device)
    splits: tuple[SplitName, ...] = ("validation", "test") if test else ("validation",)
    measured: dict[str, Measurement] = {}
    artifacts: dict[str, bytes] = {}
    try:
        _train(detector, data, config, seed, workers)
    except DetectorDivergedError as error:
        for split in splits:
            measured |= _no_values(config, data, split)
        measured["detection_diverged_at"] = Measurement(float(error.step))
    else:
        for split in splits:
            found = detect_objects(detector, getattr(data, split), workers=workers)
            measured |= _measure(found, config, data, split)
            if split == "test" and workers.is_main:
                scenes = [data.test[row] for row in range(min(NUM_DRAWN, len(data.test)))]
                artifacts[ARTIFACT] = detection_sheet(scenes, found[: len(scenes)], data.class_names)
    seconds = (perf_counter() - start) / len(measured)
    return {name: replace(one, seconds=seconds) for name, one in measured.items()}, artifacts


def _train(
    detector: nn.Module, data: DetectionData, config: DetectionConfig, seed: int, workers: Workers
) -> None:
    """All of the training, without cuDNN measuring its algorithms anew for every size of picture."""
    from ndabench.metrics.detector_training import train_detector

    measures = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        for _ in train_detector(detector, data.train, config, seed=seed, workers=workers):  # type: ignore[arg-type]
            pass
    finally:
        torch.backends.cudnn.benchmark = measures


def require_resnet(encoder: nn.Module) -> ResNet:
    """`encoder`, or `UserError` where no detector can be built on it."""
    if not isinstance(encoder, ResNet):
        raise UserError(f"detection needs a ResNet as its encoder, not {type(encoder).__name__}")
    return encoder


def _measure(
    found: Sequence[Detections], config: DetectionConfig, data: DetectionData, split: SplitName
) -> dict[str, Measurement]:
    """The six values of what was found in a split's pictures."""
    objects = getattr(data, split).objects
    prefix = "" if split == "test" else "val_"
    measured = {}
    for name, average_precision, counting in (
        ("voc07", voc07_average_precision, VOC07_PROTOCOL),
        ("coco", coco_average_precision, COCO_PROTOCOL),
    ):
        precision = average_precision(found, objects, len(data.class_names))
        counted = sum(value is not None for value in precision.class_ap50)
        protocol = {**counting, "classes_counted": counted, **_protocol(config, data, split)}
        for suffix, value in (("ap", precision.ap), ("ap50", precision.ap50), ("ap75", precision.ap75)):
            measured[f"{prefix}{name}_{suffix}"] = Measurement(
                value, better="higher", unit="%", protocol=protocol
            )
    return measured


def _no_values(config: DetectionConfig, data: DetectionData, split: SplitName) -> dict[str, Measurement]:
    """The same six as NaN."""
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    values = _measure([nothing] * len(getattr(data, split)), config, data, split)
    return {name: replace(value, value=math.nan) for name, value in values.items()}


def _protocol(config: DetectionConfig, data: DetectionData, split: SplitName) -> dict[str, Any]:
    """Everything about training and testing that a value may be compared under."""
    settings = config.model_dump(mode="json", exclude={"name", "data", "every", "as_"})
    return {
        "protocol": "detection",
        "detector": "Faster R-CNN, all layers fine-tuned",
        "data": data.name,
        "data_hash": data.content_hash,
        "num_classes": len(data.class_names),
        "fitted_on": "train",
        "num_fitted": len(data.train),
        "difficult_in_training": "as ordinary objects",
        "split": split,
        "num_evaluated": len(getattr(data, split)),
        "one_training_for_validation_and_test": True,
        "resize": "bilinear, antialiased",
        "box_loss": "smooth L1, β = 1/9",
        "batch_norm_in_testing": "running moments",
        "precision": "float32; on GPUs with TF32 where the task allows it",
        **settings,
    }
