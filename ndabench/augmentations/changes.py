"""Whether a negative changes its images: redrawing outputs that equal their input, and measuring how many do.

NDA holds only where T's outputs lie outside the data (Sinha et al., ICLR 2021, theorem 1), and an output that
equals its input lies inside. No draw of a corrected rule is the identity operation, but an image can look the
same after it: a box of background over background, tiles of one colour exchanged.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ndabench.augmentations.compose import Augmentation
from ndabench.augmentations.pixels import select

REDRAWS = 2
"""How often an output that equals its input is drawn anew."""
NEARLY = 0.04
"""An output is nearly its input where less than this share of its pixels changes: 10 of 256, 41 of 1024."""


def redrawn(augmentation: Augmentation) -> Augmentation:
    """`augmentation`, whose outputs that equal their inputs are drawn again, up to `REDRAWS` times.

    Redraws take from the same generator. A CPU draws only if an output needs it, so a batch without such
    outputs takes what `augmentation` alone would take. A GPU always draws `REDRAWS` times: looking first
    would make the host wait for the device. What stays equal is the image's own doing: a flat image under
    `jigsaw`.
    """

    def changing(images: Tensor, *, generator: torch.Generator) -> Tensor:
        output = augmentation(images, generator=generator)
        change = largest_change(output, images)
        for _ in range(REDRAWS):
            if images.device.type == "cpu" and not _equal(change, images).any():
                break
            again = augmentation(images, generator=generator)
            change_again = largest_change(again, images)
            better = _equal(change, images) & (change_again > change)
            mask = better.to(images.dtype).view(-1, *[1] * (images.dim() - 1))
            output = select(mask, again, output)
            change = torch.where(better, change_again, change)
        return output

    return changing


def largest_change(output: Tensor, images: Tensor) -> Tensor:
    """float32 `[N]`: the largest difference of a value between each output and its image, in their range."""
    return _difference(output, images).flatten(1).amax(1)


def _difference(output: Tensor, images: Tensor) -> Tensor:
    return (output.float() - images.float()).abs_()


def _equal(change: Tensor, images: Tensor) -> Tensor:
    """Whether a change is less than half a grey level, and so none: uint8 images have 255 levels in
    0..255, float images in -1..1."""
    return change < (1 / 255 if images.is_floating_point() else 0.5)


@dataclass(frozen=True)
class ChangeShares:
    """How many outputs of a negative equal their inputs, on a sample of images or clips."""

    count: int
    equal: float
    """The share of outputs in which no value changes by half a grey level."""
    nearly_equal: float
    """The share in which less than `NEARLY` of the pixels do, those that equal their inputs included."""

    def __str__(self) -> str:
        return (
            f"{self.equal:.1%} of {self.count} outputs equal their input, "
            f"{self.nearly_equal:.1%} change less than {NEARLY:.0%} of the pixels"
        )


def change_shares(augmentation: Augmentation, images: Tensor, *, generator: torch.Generator) -> ChangeShares:
    """Applies `augmentation` to `images` `[N, C, H, W]` or clips `[N, C, T, H, W]`, and counts."""
    output = augmentation(images, generator=generator)
    changed = ~_equal(_difference(output, images).amax(1), images)  # a pixel counts if a channel changes
    share = changed.flatten(1).float().mean(1)
    return ChangeShares(
        len(images),
        equal=float((share == 0).float().mean()),
        nearly_equal=float((share < NEARLY).float().mean()),
    )
