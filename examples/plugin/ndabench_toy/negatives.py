"""A negative for images that no image of stripes looks like."""

import torch
from torch import Tensor


def upside_down(images: Tensor, *, generator: torch.Generator, share: float = 1.0) -> Tensor:
    """`[N, C, H, W]` mirrored top to bottom; of each image only the left `share` of its columns."""
    width = max(1, round(images.shape[-1] * share))
    return torch.cat([images[..., :width].flip(-2), images[..., width:]], -1)
