"""A GAN small enough to train in a test."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ndabench.augmentations.compose import Augmentation
from ndabench.augmentations.registry import implementations
from ndabench.data.feeding import ResidentSplit
from ndabench.data.images import ImageData
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.gan.task import GanTask
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import Trainer, build_trainer

NEGATIVES = implementations("corrected")

JIGSAW: Augmentation = NEGATIVES["jigsaw"]


def toy_data(size: int = 8) -> ImageData:
    """96 random grey images of three classes."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (96, 1, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.arange(96) % 3

    def split(first: int, last: int) -> ResidentSplit:
        return ResidentSplit(images, labels[first:last], torch.arange(first, last))

    names = ("a", "b", "c")
    return ImageData("toy", "0123", names, (1, size, size), split(0, 64), split(64, 80), split(80, 96))


def toy_config(**changes: Any) -> GanConfig:
    settings = {
        "width": 2,
        "latent_dim": 6,
        "batch_size": 8,
        "num_steps": 4,
        "num_discriminator_steps": 2,
        "log_every": 1,
        "checkpoint_every": 100,
        "num_sheet_rows": 1,
        "ema": {"decay": 0.999, "start": 2},
        "learning_rate": 1e-2,
    }
    return GanConfig(**{**settings, **changes})


def toy_trainer(*, config: Mapping[str, Any] | None = None, **arguments: Any) -> Trainer:
    """A toy GAN at step 0."""
    return build_trainer(TrialSetup(toy_config(**(config or {})), toy_data(), **arguments))


def gan_task(trainer: Trainer) -> GanTask:
    """What `toy_trainer` trains."""
    assert isinstance(trainer.task, GanTask)
    return trainer.task


def judged_batches(task: Any) -> list[tuple[Tensor, Tensor]]:
    """A list that fills with the images, in float64, and the labels that a GAN's discriminator judges."""
    seen: list[tuple[Tensor, Tensor]] = []
    forward = task.discriminator_forward

    def watched(discriminate: Any, batches: Any) -> Any:
        seen.extend((images.double(), labels) for images, labels in batches)
        return forward(discriminate, batches)

    task.discriminator_forward = watched
    return seen


def leaves(state: Any, path: str = "") -> dict[str, Any]:
    """The tensors and plain values of a nested state, by their paths."""
    if isinstance(state, Mapping):
        return {k: v for key in state for k, v in leaves(state[key], f"{path}/{key}").items()}
    if isinstance(state, list | tuple):
        return {k: v for i, item in enumerate(state) for k, v in leaves(item, f"{path}/{i}").items()}
    return {path: state}


def differences(left: Any, right: Any) -> list[str]:
    """The paths at which two states are not equal to the bit."""
    one, other = leaves(left), leaves(right)
    assert one.keys() == other.keys()

    def same(a: Any, b: Any) -> bool:
        return torch.equal(a, b) if isinstance(a, Tensor) else a == b

    return [path for path in one if not same(one[path], other[path])]
