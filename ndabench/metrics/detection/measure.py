"""Detection transfer: how well a detector that starts from a pre-trained encoder finds objects.

All layers of a Faster R-CNN over a copy of the encoder are trained on the training split of a detection set.
It is measured once on validation (`val_*`) and, where asked for, with the same weights on the test split.
The values are VOC's (2007, 11 points; 2010, area) and COCO's (101 points) AP over the IoU thresholds 0.5 to
0.95, AP50 and AP75, in percent.

The defaults train in about a minute on two cores. Those of MoCo (He et al., arXiv 1911.05722, section 4.2,
detectron2's R50-C4), which the paper's table follows, are: batch_norm live, num_steps 24000, batch_size 16,
learning_rate 0.02, warm_up_steps 100, train_short_sides 480 to 800 by 32, short_side 800, horizontal_flip,
num_rois 512, num_proposals 1000, on VOC 07+12.
"""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ndabench.data.detection.scenes import DetectionData, object_counts
from ndabench.data.registry import load_data
from ndabench.errors import UserError
from ndabench.measurement import MeasuredSplit, Measurement
from ndabench.metrics.detection.average_precision import (
    COCO_PROTOCOL,
    VOC07_PROTOCOL,
    VOC10_PROTOCOL,
    Detections,
    coco_average_precision,
    require_pycocotools,
    voc07_average_precision,
    voc10_average_precision,
)
from ndabench.metrics.detection.config import DetectionConfig
from ndabench.metrics.detection.sheet import detection_sheet
from ndabench.metrics.detection.training import DetectorDivergedError, DetectorTraining, detect_objects
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.metrics.probing import Stage, train_in_stages
from ndabench.metrics.results import Evaluated, EvaluationProgress, by_name
from ndabench.metrics.subjects import Preparation
from ndabench.models.detector import Detector
from ndabench.models.resnet import ResNet

ARTIFACT = "detections.png"
NUM_DRAWN = 8
"""Test pictures on the sheet of detections."""


def prepare_detection(config: DetectionConfig, preparation: Preparation) -> None:
    """Says what the data set holds.

    Raises `UserError` for everything that could stop `measure_detection` later, except for the encoder's
    kind.
    """
    data = check_detection(config, preparation.data.image_shape[0], num_workers=preparation.num_workers)
    for line in (object_counts(data), *data.notes):
        preparation.say(line)


def check_detection(config: DetectionConfig, image_channels: int, *, num_workers: int) -> DetectionData:
    """The detection data, read.

    Raises `UserError` for encoders of other than grey or RGB images, a batch that the workers cannot share,
    and data that are missing or too few.
    """
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
    return data


def measure_detection(
    config: DetectionConfig,
    subject: ImageEncoderSubject,
    *,
    test: bool,
    state: Mapping[str, Any] | None = None,
) -> Generator[EvaluationProgress, None, Evaluated]:
    """Nine values for each split, and with `test` the sheet `detections.png`.

    The encoder stays bit-identical. The detector's new layers, the order of its pictures and everything else
    that is random follow from the subject's seed. The seconds of all values add up to the time that the whole
    took. If a loss is not finite, all values are NaN and `detection_diverged_at` is the step: this does not
    invalidate the encoder's training, which took far longer. Raises `UserError` for an encoder that is no
    ResNet, and as `check_detection` does.
    """
    workers, clock = subject.workers, subject.shared.clock
    resnet = require_resnet(subject.encoder)
    data = check_detection(config, resnet.image_channels, num_workers=workers.world_size)
    splits: tuple[MeasuredSplit, ...] = ("validation", "test") if test else ("validation",)

    def build() -> DetectorTraining:
        detector = build_detector(config, resnet, data, subject)
        return DetectorTraining(detector, data.train, config, seed=subject.seed, workers=workers)

    def score(training: DetectorTraining, start: float) -> Evaluated:
        measurements: list[Measurement] = []
        artifacts = {}
        for split in splits:
            found = detect_objects(training.detector, getattr(data, split), workers=workers)
            measurements += _measure(found, config, data, split)
            if split == "test" and workers.is_main:
                scenes = [data.test[row] for row in range(min(NUM_DRAWN, len(data.test)))]
                artifacts[ARTIFACT] = detection_sheet(scenes, found[: len(scenes)], data.class_names)
        return Evaluated(by_name(measurements), artifacts, notes=data.notes).longer_by(clock() - start)

    start = clock()
    try:
        return (yield from train_in_stages([Stage(build, score)], clock=clock, state=state))
    except DetectorDivergedError as error:
        measurements = [one for split in splits for one in _no_values(config, data, split)]
        measurements.append(Measurement(float(error.step), metric="detection_diverged_at"))
        return Evaluated(by_name(measurements), notes=data.notes).longer_by(clock() - start)


def build_detector(
    config: DetectionConfig, encoder: ResNet, data: DetectionData, subject: ImageEncoderSubject
) -> Detector:
    """The untrained detector over a copy of the encoder, on the workers' device."""
    return Detector(
        encoder,
        num_classes=len(data.class_names),
        body=config.body,
        batch_norm=config.batch_norm,
        short_side=config.short_side,
        num_rois=config.num_rois,
        num_proposals=config.num_proposals,
        seed=subject.seed,
        workers=subject.workers,
    ).to(subject.workers.device)


def require_resnet(encoder: nn.Module) -> ResNet:
    """`encoder`, or `UserError` where no detector can be built on it."""
    if not isinstance(encoder, ResNet):
        raise UserError(f"detection needs a ResNet as its encoder, not {type(encoder).__name__}")
    return encoder


def _measure(
    found: Sequence[Detections], config: DetectionConfig, data: DetectionData, split: MeasuredSplit
) -> list[Measurement]:
    """The nine values for the objects found in a split's pictures."""
    objects = getattr(data, split).objects
    measurements = []
    for name, average_precision, counting in (
        ("voc07", voc07_average_precision, VOC07_PROTOCOL),
        ("coco", coco_average_precision, COCO_PROTOCOL),
        ("voc10", voc10_average_precision, VOC10_PROTOCOL),
    ):
        precision = average_precision(found, objects, len(data.class_names))
        counted = sum(value is not None for value in precision.class_ap50)
        protocol = {**counting, "classes_counted": counted, **_protocol(config, data, split)}
        for suffix, value in (("ap", precision.ap), ("ap50", precision.ap50), ("ap75", precision.ap75)):
            measurements.append(
                Measurement(
                    value,
                    better="higher",
                    unit="%",
                    protocol=protocol,
                    kind="metric",
                    metric=f"{name}_{suffix}",
                    split=split,
                )
            )
    return measurements


def _no_values(config: DetectionConfig, data: DetectionData, split: MeasuredSplit) -> list[Measurement]:
    """The same nine as NaN."""
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    values = _measure([nothing] * len(getattr(data, split)), config, data, split)
    return [replace(one, value=math.nan) for one in values]


def _protocol(config: DetectionConfig, data: DetectionData, split: MeasuredSplit) -> dict[str, Any]:
    """All settings of training and testing that must be equal for two values to be compared."""
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
