"""Small trainings of every task, on random images and videos that lie on the device."""

from collections.abc import Mapping
from typing import Any

import torch

from ndabench.augmentations.registry import implementations
from ndabench.data.feeding import ResidentSplit
from ndabench.data.images import ImageData
from ndabench.data.videos.clips import ClipData
from ndabench.data.videos.feeding import greyscale_clips
from ndabench.distributed import Workers
from ndabench.tasks.contrastive.config import ImageContrastiveConfig, VideoContrastiveConfig
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import Trainer, build_trainer

NUM_IMAGES, NUM_VIDEOS = 256, 32
TASKS = ("gan", "moco", "simclr", "dpc")

SMALL = {"gan": (32, 16, 16), "moco": (32, 16, 32), "simclr": (32, 16, 32), "dpc": (32, 8, 8)}
TINY = {"gan": (8, 2, 4), "moco": (8, 2, 8), "simclr": (8, 2, 8), "dpc": (16, 2, 4)}
"""Side in pixels, width and batch size, in earnest and in a rehearsal."""

CLIP_MOCO = {"name": "moco", "queue_size": 32, "batch_norm_splits": 2}
TRAININGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gan": ("gan", {}),
    "conditional gan": ("gan", {"conditional": True, "losses": "non_saturating"}),
    "gan with consistency": ("gan", {"consistency_weight": 10.0}),
    "gan with a gradient penalty": ("gan", {"losses": {"name": "wasserstein_gp"}}),
    "gan as released": ("gan", {"reference": True, "fused": False}),
    "moco": ("moco", {}),
    "simclr": ("simclr", {"num_nda_keys": 2}),
    "dpc": ("dpc", {}),
    "clip moco": ("dpc", {"method": CLIP_MOCO, "embedding_dim": 8, "optimizer": "adam"}),
    "clip simclr": ("dpc", {"method": "simclr", "embedding_dim": 8}),
}
"""Every way to take a training step: the task of `small_training`, and the keys in which it differs."""


def small_training(
    task: str,
    device: torch.device,
    *,
    tiny: bool,
    steps: int = 10**6,
    workers: Workers | None = None,
    **changes: Any,
) -> Trainer:
    """A trainer at step 0 with a negative that has weight; `changes` are keys of the task's configuration."""
    side, width, batch_size = (TINY if tiny else SMALL)[task]
    keys: dict[str, Any] = {
        "batch_size": batch_size,
        "num_steps": steps,
        "log_every": 1,
        "checkpoint_every": max(steps, 1),
        **changes,
    }
    workers = workers or Workers(device=device)
    if task == "gan":
        sizes = {"width": width, "num_discriminator_steps": 1, "latent_dim": 16, "num_sheet_rows": 1}
        config: Any = GanConfig(**{**sizes, **keys})
        jigsaw = implementations("corrected")["jigsaw"]
        return build_trainer(
            TrialSetup(config, images(side, device), negative=jigsaw, lambda_=0.25, workers=workers)
        )
    if task == "dpc":
        config = VideoContrastiveConfig.model_validate({**_dpc(width, tiny=tiny), **keys})
        jigsaw = implementations("clips")["jigsaw"]
        return build_trainer(
            TrialSetup(config, videos(side, device), negative=jigsaw, lambda_=1.0, workers=workers)
        )
    config = ImageContrastiveConfig.model_validate({**_images(task, width), **keys})
    stitch = implementations("corrected")["stitch"]
    return build_trainer(
        TrialSetup(config, images(side, device), negative=stitch, lambda_=1.0, workers=workers)
    )


def _images(method: str, width: int) -> Mapping[str, Any]:
    moco = {"name": "moco", "queue_size": 256, "batch_norm_splits": 2}
    return {
        "method": moco if method == "moco" else "simclr",
        "encoder": {"name": "resnet", "width": width},
        "embedding_dim": 16,
    }


def _dpc(width: int, *, tiny: bool) -> Mapping[str, Any]:
    return {
        "method": {"name": "dpc", "num_blocks": 4, "num_predicted": 2},
        "encoder": {"name": "resnet2d3d", "width": width, "stem": "cifar"},
        "clip_frames": 8 if tiny else 16,
        "frame_stride": 1,
    }


def images(side: int, device: torch.device) -> ImageData:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (NUM_IMAGES, 3, side, side), generator=generator, dtype=torch.uint8)
    labels = torch.arange(NUM_IMAGES) % 2
    split = ResidentSplit(pixels.to(device), labels, torch.arange(NUM_IMAGES))
    return ImageData("random", "0", ("a", "b"), (3, side, side), split, split, split)


def videos(side: int, device: torch.device, frames: int = 18) -> ClipData:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (NUM_VIDEOS, frames, side, side), generator=generator, dtype=torch.uint8)
    labels = torch.arange(NUM_VIDEOS) % 2
    split = greyscale_clips(pixels.to(device), labels, torch.arange(NUM_VIDEOS))
    return ClipData("random", "0", ("a", "b"), (3, side, side), split, split, split)


def take_steps(trainer: Trainer, count: int) -> None:
    """The next `count` training steps, without the loop's pauses."""
    start = trainer.step
    for step, batch in zip(range(start, start + count), trainer.task.batches(start), strict=False):
        trainer.task.training_step(batch, step)
        trainer.step = step + 1
