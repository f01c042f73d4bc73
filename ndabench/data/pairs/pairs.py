"""A paired data set as a task sees it: its targets are an image data set, and each has an input."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ndabench.data.config import SplitName
from ndabench.data.images import ImageData, ImageSplit
from ndabench.data.load import load_images
from ndabench.data.pairs.source import Direction, JoinedPairs, PairedConfig, Palette

INPUT_SIDE: Mapping[Direction, str] = {"AtoB": "A", "BtoA": "B"}


@dataclass(frozen=True, kw_only=True)
class PairedData(ImageData):
    """The targets, an image data set like any other, and the inputs in the same order."""

    inputs: Mapping[SplitName, ImageSplit]
    """The input of each target, uint8 `[3, S, S]` as the targets."""
    training_pairs: ImageSplit
    """The pairs of the training split at `load_size` L: uint8 `[3, L, 2·L]`, the input on the left."""
    load_size: int
    """L."""
    palette: Palette | None = None
    """The classes of the inputs, where these are label maps."""


@dataclass(frozen=True)
class Half:
    """The left or the right half of each image of a split."""

    whole: ImageSplit
    left: bool

    @property
    def labels(self) -> Tensor:
        return self.whole.labels

    def __len__(self) -> int:
        return len(self.whole)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.whole.batches(index_batches):
            yield halves(images)[0 if self.left else 1].contiguous(), labels


@dataclass(frozen=True)
class Swapped:
    """Pairs whose left and right halves change places."""

    pairs: ImageSplit

    @property
    def labels(self) -> Tensor:
        return self.pairs.labels

    def __len__(self) -> int:
        return len(self.pairs)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.pairs.batches(index_batches):
            yield torch.cat(halves(images)[::-1], dim=-1), labels


def halves(pairs: Tensor) -> tuple[Tensor, Tensor]:
    """The left and the right half of `[..., H, 2·W]`."""
    left, right = pairs.chunk(2, dim=-1)
    return left, right


def load_pairs(config: PairedConfig, *, device: torch.device) -> PairedData:
    """The data set, ready on `device`; `UserError` for what is missing, damaged or cannot be split.

    The first use on a machine decodes it into the cache, at `image_size` and, for training, at `load_size`.
    """
    shown = load_images(JoinedPairs.of_size(config, config.image_size), device=device)
    loaded = shown
    if config.loaded_size != config.image_size:
        loaded = load_images(JoinedPairs.of_size(config, config.loaded_size), device=device)
    input_side, palette = INPUT_SIDE[config.direction], config.palette
    splits: dict[SplitName, ImageSplit] = {
        "train": shown.train,
        "validation": shown.validation,
        "test": shown.test,
    }
    input_is_left = input_side == "A"
    targets = {name: Half(split, left=not input_is_left) for name, split in splits.items()}
    digest = hashlib.sha256(f"{shown.content_hash} {config.direction}".encode())
    return PairedData(
        name=config.title,
        content_hash=digest.hexdigest(),
        class_names=shown.class_names,
        image_shape=(3, config.image_size, config.image_size),
        train=targets["train"],
        validation=targets["validation"],
        test=targets["test"],
        notes=shown.notes,
        inputs={name: Half(split, left=input_is_left) for name, split in splits.items()},
        training_pairs=loaded.train if input_is_left else Swapped(loaded.train),
        load_size=config.loaded_size,
        palette=palette if palette is not None and palette.side == input_side else None,
    )
