"""A small labelled data set that lives in memory."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ndabench.data.images import ImageData, ImageSplit


class TensorSplit:
    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for index in index_batches:
            yield self.images[index], self.labels[index]


def striped_images(
    num_images: int, seed: int, channels: int = 3, num_classes: int = 3
) -> tuple[Tensor, Tensor]:
    """16×16 noise with a bright band whose place (top, middle, bottom) is the label."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(num_classes, (num_images,), generator=generator)
    images = torch.randint(0, 100, (num_images, channels, 16, 16), generator=generator)
    rows = torch.arange(16)[None, :] // 6 == labels[:, None]
    return (images + 120 * rows[:, None, :, None]).to(torch.uint8), labels


def striped_data(content_hash: str = "striped", *, channels: int = 3, labelled: bool = True) -> ImageData:
    def split(num_images: int, seed: int) -> TensorSplit:
        return TensorSplit(*striped_images(num_images, seed, channels, 3 if labelled else 1))

    names = ("top", "middle", "bottom") if labelled else ("image",)
    return ImageData(
        "striped", content_hash, names, (channels, 16, 16), split(300, 0), split(90, 1), split(200, 2)
    )


def images_of(split: ImageSplit) -> Tensor:
    """All images of one of its splits, uint8 `[N, C, 16, 16]`."""
    assert isinstance(split, TensorSplit)
    return split.images
