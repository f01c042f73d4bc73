"""A clip training small enough for a test."""

from functools import cache
from typing import Any

import torch

from ndabench.augmentations.compose import Augmentation
from ndabench.augmentations.registry import implementations
from ndabench.data.videos.clips import ClipData, ClipSplit
from ndabench.data.videos.feeding import greyscale_clips
from ndabench.tasks.contrastive.config import VideoContrastiveConfig
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import Trainer, build_trainer

CLIP_NEGATIVES = implementations("clips")

SPLICE: Augmentation = CLIP_NEGATIVES["splice"]
"""Mixes the clips of a batch, so that it shows what batch it was given."""

DPC = {"name": "dpc", "num_blocks": 4, "num_predicted": 2}
MOCO = {"name": "moco", "queue_size": 16, "batch_norm_splits": 2}
METHODS: dict[str, dict[str, Any]] = {
    "dpc": {"method": DPC},
    "moco": {"method": MOCO},
    "simclr": {"method": "simclr"},
}
OF_PAIRS = {"embedding_dim": 8}


@cache
def toy_videos(num_videos: int = 48, frames: int = 10, size: int = 16) -> ClipData:
    """Videos of a bar under noise that goes left or right; half to train on."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num_videos) % 2
    videos = torch.randint(0, 100, (num_videos, frames, size, size), generator=generator, dtype=torch.uint8)
    starts = torch.randint(0, size, (num_videos,), generator=generator).tolist()
    for row, (start, label) in enumerate(zip(starts, labels.tolist(), strict=True)):
        for frame in range(frames):
            at = (start + (2 * label - 1) * 2 * frame) % size
            videos[row, frame, :, at : at + 2] += 150

    def split(first: int, last: int) -> ClipSplit:
        return greyscale_clips(videos, labels[first:last], torch.arange(first, last))

    half, rest = num_videos // 2, num_videos * 3 // 4
    return ClipData(
        "bars",
        "0123",
        ("left", "right"),
        (3, size, size),
        split(0, half),
        split(half, rest),
        split(rest, num_videos),
    )


def toy_settings(**changes: Any) -> VideoContrastiveConfig:
    settings: dict[str, Any] = {
        "method": DPC,
        "encoder": {"name": "resnet2d3d", "width": 2, "stem": "cifar"},
        "clip_frames": 8,
        "frame_stride": 1,
        "batch_size": 8,
        "num_steps": 4,
        "learning_rate": 0.01,
        "log_every": 1,
        "checkpoint_every": 100,
    }
    return VideoContrastiveConfig.model_validate({**settings, **changes})


def toy_training(config: dict[str, Any] | None = None, size: int = 16, **arguments: Any) -> Trainer:
    return build_trainer(TrialSetup(toy_settings(**(config or {})), toy_videos(size=size), **arguments))
