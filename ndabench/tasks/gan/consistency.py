"""Consistency regularisation (Zhang et al., ICLR 2020, arXiv 1910.12027), the paper's CR-BigGAN.

The discriminator's loss gets the term

    w · E[(D(x) − D(T(x)))²]

over real images x with their labels, where T mirrors an image with probability ½ and shifts it by up to an
eighth of its side in each direction (4 of 32 pixels), filled by reflection. The published weight w is 10.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ndabench.tasks.gan.real_images import flip_half

LARGEST_SHIFT = 1 / 8


def flip_and_shift(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """T(x) of float images `[N, C, H, W]`, each with its own draw."""
    flipped = flip_half(images, generator=generator)
    n, _, height, width = images.shape
    down, right = (max(1, round(LARGEST_SHIFT * side)) for side in (height, width))
    padded = functional.pad(flipped, (right, right, down, down), mode="reflect")
    rows = _window(n, height, down, generator)
    columns = _window(n, width, right, generator)
    image = torch.arange(n, device=images.device)[:, None, None]
    return padded.movedim(1, 3)[image, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def consistency(real: Tensor, changed: Tensor) -> Tensor:
    """E[(D(x) − D(T(x)))²] of logits `[N]` and `[N]`, a scalar."""
    return (real - changed).square().mean()


def _window(count: int, side: int, reach: int, generator: torch.Generator) -> Tensor:
    """The padded image's rows (or columns) that each image takes, int64 `[count, side]`."""
    start = torch.randint(2 * reach + 1, (count, 1), generator=generator, device=generator.device)
    return start + torch.arange(side, device=start.device)
