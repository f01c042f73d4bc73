"""One augmentation from several: a mixture (one of them for each image or clip) or a chain (all in turn).

>>> from functools import partial
>>> from ndabench.augmentations.registry import implementations
>>> negatives = implementations("corrected")
>>> either = mixture([negatives["jigsaw"], negatives["cutout"]], weights=[1, 3])
>>> upside_down = chain([negatives["flip"], partial(negatives["rotate"], degrees=180.0)])
>>> images = torch.arange(4.0).view(1, 1, 2, 2)
>>> upside_down(images, generator=torch.Generator())[0, 0]
tensor([[2., 3.],
        [0., 1.]])
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor

from ndabench.augmentations.pixels import select
from ndabench.augmentations.registry import check_weights
from ndabench.errors import UserError


class Augmentation(Protocol):
    """A negative with fixed parameters: images `[N, C, H, W]` or clips `[N, C, T, H, W]` in, the same shape
    and dtype out."""

    def __call__(self, images: Tensor, *, generator: torch.Generator) -> Tensor: ...


def mixture(augmentations: Sequence[Augmentation], weights: Sequence[float]) -> Augmentation:
    """Each image or clip goes through one of `augmentations`, drawn in proportion to `weights`.

    The weights need not sum to 1. The mixture guarantees what all of them guarantee. All are applied to the
    whole batch, so that no shape depends on the draw; the cost is their sum.
    """
    check_weights(weights, len(augmentations))
    edges = [edge / sum(weights) for edge in accumulate(weights)][:-1]

    def mixed(images: Tensor, *, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(len(images), generator=generator, device=images.device)
        uniform = uniform.view(-1, *[1] * (images.dim() - 1))
        first, *others = augmentations
        output = first(images, generator=generator)
        for edge, augmentation in zip(edges, others, strict=True):
            mask = (uniform >= edge).to(images.dtype)
            output = select(mask, augmentation(images, generator=generator), output)
        return output

    return mixed


def chain(augmentations: Sequence[Augmentation]) -> Augmentation:
    """All of `augmentations` on every image (or clip), in order.

    A chain guarantees less than its links, since one can undo another (a second flip the first).
    """
    if not augmentations:
        raise UserError("chain: needs at least one augmentation")

    def chained(images: Tensor, *, generator: torch.Generator) -> Tensor:
        for augmentation in augmentations:
            images = augmentation(images, generator=generator)
        return images

    return chained
