"""How a discriminator sees several batches at once: a value to choose, since spectral norms depend on it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]
"""Images `[N, C, H, W]`, float in [-1, 1], and their labels `[N]`."""

Discriminate = Callable[[Tensor, Tensor], Tensor]
"""Images and labels to logits `[N]`."""


def judge_together(discriminate: Discriminate, batches: Sequence[Batch]) -> list[Tensor]:
    """The logits of every batch from one forward: one power iteration of the spectral norms for all."""
    images, labels = zip(*batches, strict=True)
    logits = discriminate(torch.cat(images), torch.cat(labels))
    return list(logits.split([len(batch) for batch in labels]))


def judge_negatives_apart(discriminate: Discriminate, batches: Sequence[Batch]) -> list[Tensor]:
    """As released: real and generated images in one forward, the negatives after them in another."""
    together = judge_together(discriminate, batches[:2])
    return together + [discriminate(*negatives) for negatives in batches[2:]]
