"""A contrastive training small enough for a test."""

from typing import Any

import torch

from ndabench.augmentations.compose import Augmentation
from ndabench.augmentations.registry import implementations
from ndabench.data.feeding import ResidentSplit
from ndabench.data.images import ImageData
from ndabench.tasks.contrastive.config import ImageContrastiveConfig
from ndabench.tasks.contrastive.task import ContrastiveTask
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import Trainer, build_trainer

NEGATIVES = implementations("corrected")

STITCH: Augmentation = NEGATIVES["stitch"]
"""Mixes the images of a batch, so that it shows what batch it was given."""

MOCO = {"name": "moco", "queue_size": 16, "batch_norm_splits": 2}
SYMMETRIC = {**MOCO, "queue_size": 32, "symmetric": True}


def toy_pictures(channels: int = 3, size: int = 8) -> ImageData:
    """96 pictures of three classes: bars at a class's place under noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(96) % 3
    images = torch.randint(0, 120, (96, channels, size, size), generator=generator, dtype=torch.uint8)
    for index, label in enumerate(labels.tolist()):
        images[index, :, :, 3 * label : 3 * label + 2] += 130

    def split(first: int, last: int) -> ResidentSplit:
        return ResidentSplit(images, labels[first:last], torch.arange(first, last))

    return ImageData(
        "bars", "0123", ("a", "b", "c"), (channels, size, size), split(0, 64), split(64, 80), split(80, 96)
    )


def toy_settings(**changes: Any) -> ImageContrastiveConfig:
    settings: dict[str, Any] = {
        "method": MOCO,
        "encoder": {"name": "resnet", "width": 2},
        "embedding_dim": 8,
        "batch_size": 8,
        "num_steps": 4,
        "learning_rate": 0.05,
        "log_every": 1,
        "checkpoint_every": 100,
        "channels_last": False,
    }
    return ImageContrastiveConfig.model_validate({**settings, **changes})


def toy_training(config: dict[str, Any] | None = None, size: int = 8, **arguments: Any) -> Trainer:
    return build_trainer(TrialSetup(toy_settings(**(config or {})), toy_pictures(size=size), **arguments))


def contrastive_task(trainer: Trainer) -> ContrastiveTask:
    """What it trains, on images or on clips."""
    assert isinstance(trainer.task, ContrastiveTask)
    return trainer.task


def inputs_of(trainer: Trainer) -> Any:
    """What the method sees in the next step."""
    task = contrastive_task(trainer)
    return task.method.inputs(next(task.batches(trainer.step)))
