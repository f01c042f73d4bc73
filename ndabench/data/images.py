"""An image data set as a task sees it: splits that give batches, and the two image scales.

Images are stored as uint8 `[N, C, H, W]` and trained on as floats in [-1, 1].
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import tee
from typing import Protocol

import torch
from torch import Tensor

DIGESTED = 256
"""Images that are fetched at a time for their digests."""


class ImageSplit(Protocol):
    """One split of a data set, in device memory or decoded when needed."""

    @property
    def labels(self) -> Tensor:
        """int64 `[N]` on the CPU."""
        ...

    def __len__(self) -> int: ...

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields, for every CPU int64 index tensor `[B]`, (uint8 `[B, C, H, W]`, int64 `[B]`) on the device.

        Indices may be read ahead of the batches that are given out. Raises `UserError` naming file and row
        where a streamed image cannot be read.
        """
        ...


@dataclass(frozen=True)
class ImageData:
    """A data set ready for training: three splits that share no image."""

    name: str
    content_hash: str
    """Hex digest of the decoded images, labels, class names and the cut into splits; the same everywhere."""
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    """(C, H, W)."""
    train: ImageSplit
    validation: ImageSplit
    test: ImageSplit
    notes: tuple[str, ...] = ()
    """What a reader of the results should know about how the files were understood, a line each."""


@dataclass(frozen=True)
class ConcatImages:
    """The images of `first`, and after them those of `second`, which live on the same device."""

    first: ImageSplit
    second: ImageSplit

    @property
    def labels(self) -> Tensor:
        return torch.cat([self.first.labels, self.second.labels])

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        indices, for_first, for_second = tee(index_batches, 3)
        cut = len(self.first)
        # A streamed split cannot make an empty batch.
        first = self.first.batches(part for index in for_first if len(part := index[index < cut]))
        second = self.second.batches(part - cut for index in for_second if len(part := index[index >= cut]))
        for index in indices:
            in_first = index < cut
            sources = [source for source, used in ((first, in_first), (second, ~in_first)) if used.any()]
            images, labels = zip(*map(next, sources), strict=True)
            place = torch.cat([in_first.nonzero(), (~in_first).nonzero()]).squeeze(1).argsort()
            place = place.to(images[0].device, non_blocking=True)
            yield torch.cat(images)[place], torch.cat(labels)[place]


def digests(data: ImageData) -> Iterator[bytes]:
    """A digest of every image's pixels, of all splits."""
    for split in (data.train, data.validation, data.test):
        for images, _ in split.batches(torch.arange(len(split)).split(DIGESTED)):
            for image in images.cpu().numpy():
                yield hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def to_float(images: Tensor) -> Tensor:
    """uint8 images as float32 in [-1, 1]: `x / 127.5 - 1`."""
    return images.to(torch.float32) / 127.5 - 1.0


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, rounded to the nearest level and clamped; undoes `to_float` exactly."""
    return ((images.to(torch.float32) + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
