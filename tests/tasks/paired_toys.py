"""Pairs and a translator small enough to train in a test."""

from typing import Any

import torch

from ndabench.augmentations.compose import Augmentation
from ndabench.augmentations.registry import implementations
from ndabench.data.config import SplitName
from ndabench.data.feeding import ResidentSplit
from ndabench.data.pairs.pairs import Half, PairedData
from ndabench.data.pairs.source import Palette
from ndabench.tasks.paired.config import PairedGanConfig

SIZE, LOAD_SIZE = 64, 66
JIGSAW: Augmentation = implementations("corrected")["jigsaw"]
PALETTE = Palette("A", {"dark": (0, 0, 0), "bright": (255, 255, 255), "red": (255, 0, 0)})


def toy_pairs(device: str = "cpu", size: int = SIZE, load_size: int = LOAD_SIZE) -> PairedData:
    """56 random pairs, loaded at `load_size` for training and cropped to `size`."""
    generator = torch.Generator().manual_seed(0)

    def joined(side: int) -> torch.Tensor:
        pixels = torch.randint(0, 256, (56, 3, side, 2 * side), generator=generator, dtype=torch.uint8)
        return pixels.to(device)

    def split(images: torch.Tensor, first: int, last: int) -> ResidentSplit:
        return ResidentSplit(images, torch.zeros(last - first, dtype=torch.long), torch.arange(first, last))

    shown = joined(size)
    whole: dict[SplitName, ResidentSplit] = {
        "train": split(shown, 0, 32),
        "validation": split(shown, 32, 43),
        "test": split(shown, 43, 56),
    }
    return PairedData(
        name="toy pairs",
        content_hash="4567",
        class_names=("pair",),
        image_shape=(3, size, size),
        train=Half(whole["train"], left=False),
        validation=Half(whole["validation"], left=False),
        test=Half(whole["test"], left=False),
        inputs={name: Half(rows, left=True) for name, rows in whole.items()},
        training_pairs=split(joined(load_size), 0, 32),
        load_size=load_size,
        palette=PALETTE,
    )


def toy_config(**changes: Any) -> PairedGanConfig:
    """A translator of 64×64 pixels: the smallest whose U-Net drops features."""
    settings = {
        "width": 1,
        "patch_layers": 2,
        "batch_size": 4,
        "num_steps": 4,
        "log_every": 1,
        "checkpoint_every": 100,
        "num_sheet_rows": 1,
        "learning_rate": 1e-2,
    }
    return PairedGanConfig.model_validate({**settings, **changes})
