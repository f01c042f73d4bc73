"""The patch negatives of Ge et al. (NeurIPS 2021, arXiv 2110.14189); `images.py` says what they keep to."""

import torch
from torch import Tensor

from ndabench.augmentations import draws, pixels


def patches(
    images: Tensor, *, generator: torch.Generator, smallest: float = 16 / 224, largest: float = 72 / 224
) -> Tensor:
    """The image paved anew with square patches of itself from uniformly drawn places, the last ones cut off.

    The side of the patches is drawn per image, in [smallest, largest] of the shorter side (16..72 pixels of
    224 as published) and at least 2 pixels. The first patch never comes from its own place; the image changes
    unless it looks the same there. (The published code never reaches the last row or column.)
    """
    n, c, h, w = images.shape
    low, high = pixels.span("patches", min(h, w), smallest, largest, least=2, most=min(h, w) - 1)
    side = draws.integers(low, high, n, generator=generator)[:, None]
    # As many patches as the smallest side needs; with a larger side some stay unused.
    across = -(-w // low)
    number = torch.arange(-(-h // low) * across, device=images.device)
    first = (number == 0).long()
    places_w = w + 1 - side
    places = ((h + 1 - side) * places_w).expand(n, len(number))
    place = draws.below(places - first, generator=generator) + first
    source = place // places_w * w + place % places_w
    moved_by = source - (number // across * w + number % across) * side

    row, column = (torch.arange(length, device=images.device) // side for length in (h, w))
    patch = (row[:, :, None] * across + column[:, None]).flatten(1)
    position = torch.arange(h * w, device=images.device) + moved_by.gather(1, patch)
    return images.reshape(n, c, h * w).gather(2, position[:, None].expand(n, c, h * w)).view(n, c, h, w)
