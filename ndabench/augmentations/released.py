"""The rules of the paper's published code, faults included, for comparing with its numbers like for like.

They are rewritten from their behaviour: seeded by the generator and on any device, otherwise with the same
distribution (`images.py` describes what all augmentations have in common). At sizes other than 32×32 pixels
scale with the side. The published code has no rule for random_crop, flip and gaussian_noise.
"""

import torch
from torch import Tensor

from ndabench.augmentations import draws, pixels


def _partner(name: str, images: Tensor, generator: torch.Generator) -> Tensor:
    """The batch in an order other than the identity: about one image per batch is its own partner."""
    draws.check_partners(name, len(images))
    return images.index_select(0, draws.orders(1, len(images), generator=generator)[0])


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator, device=generator.device)


def jigsaw(images: Tensor, *, generator: torch.Generator, grid: int = 2) -> Tensor:
    """Tiles cut row by row and laid column by column, the order's identity rejected.

    This rejects the transposed layout instead; 1 of 23 draws (grid 2) gives the true image.
    """
    pixels.check_grid(grid, *images.shape[-2:])
    order = draws.orders(len(images), grid * grid, generator=generator)
    return pixels.place_tiles(images, order.view(-1, grid, grid).transpose(1, 2))


def stitch(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """The upper (or left) half of x with the lower (or right) half of a partner; one axis for the batch."""
    partner = _partner("stitch", images, generator)
    _, _, h, w = images.shape
    halves = images.new_zeros(2, 1, h, w)
    halves[0, :, h // 2 :] = 1
    halves[1, :, :, w // 2 :] = 1
    axis = draws.integers(0, 1, 1, generator=generator)
    return pixels.select(halves.index_select(0, axis), partner, images, out=partner)


def mixup(images: Tensor, *, generator: torch.Generator, alpha: float = 25.0) -> Tensor:
    """λ·x + (1 − λ)·partner with one λ ~ Beta(alpha, alpha) for the batch."""
    partner = _partner("mixup", images, generator)
    share = draws.betas(alpha, 1, generator=generator).view(1, 1, 1, 1)
    if images.is_floating_point():
        return partner.lerp_(images, share.to(images.dtype))
    return pixels.to_dtype_of(images, torch.lerp(partner.float(), images.float(), share))


def cutout(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """A square of 10..19 pixels in 32, filled with its mean per channel; never on the last row or column."""
    n, _, h, w = images.shape
    low, high = pixels.span("cutout", min(h, w), 10 / 32, 20 / 32, least=1, most=min(h, w))
    side = (low + (high - low) * _uniform(n, generator)).long()
    corner = draws.below(torch.stack([h - side, w - side]), generator=generator)
    mask = pixels.box(images, corner, corner + side)
    inside = images * mask
    mean = inside.sum((2, 3), keepdim=True, dtype=torch.float32) / side.square().view(n, 1, 1, 1)
    return pixels.select(mask, pixels.to_dtype_of(images, mean), images, out=inside)


def cutmix(images: Tensor, *, generator: torch.Generator, alpha: float = 1.0) -> Tensor:
    """One box for the batch, of 1 − λ of the area about a uniform centre, clipped; λ ~ Beta(alpha, alpha).

    Half the side is rounded down on both sides of the centre, so a small box is empty (0.4 % of the draws).
    """
    partner = _partner("cutmix", images, generator)
    share = (1 - draws.betas(alpha, 1, generator=generator)).sqrt()
    sides = images.shape[-2:]
    half = torch.stack([(share * side).long() // 2 for side in sides])
    centre = torch.stack([draws.integers(0, side - 1, 1, generator=generator) for side in sides])
    return pixels.select(pixels.box(images, centre - half, centre + half), partner, images, out=partner)


def rotate(images: Tensor, *, generator: torch.Generator, degrees: float = 60.0) -> Tensor:
    """Turned counter-clockwise by `degrees`, nearest neighbour, zeros outside; nothing is drawn.

    Float images pass through 8 bits on their way: a value v comes out as trunc(255·v) modulo 256, over 255,
    so that the range is [0, 1] and negative values wrap around. uint8 images keep their values.
    """
    n, c, h, w = images.shape
    position, outside = pixels.rotation(h, w, degrees, images.device)
    turned = images.reshape(n, c, h * w).gather(2, position.expand(n, c, h * w))
    if images.is_floating_point():
        turned = (turned * 255).int().bitwise_and(255).to(images.dtype) / 255
    return turned.mul(~outside).view(n, c, h, w)


def shift(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Wrapped around by k = 10..24 pixels in 32, the same down and right and for the whole batch.

    Only what wraps is moved: the block of rows and columns from k on stays as it was.
    """
    n, c, h, w = images.shape
    low, high = pixels.span("shift", min(h, w), 10 / 32, 25 / 32, least=1, most=min(h, w) - 1)
    by = (low + (high - low) * _uniform(1, generator)).long()
    row, column = ((torch.arange(side, device=images.device) - by) % side for side in (h, w))
    position = (row[:, None] * w + column).flatten()
    moved = images.reshape(n, c, h * w).gather(2, position.expand(n, c, h * w)).view(n, c, h, w)
    start = by.expand(2, 1)
    stays = pixels.box(images, start, torch.full_like(start, max(h, w)))
    return pixels.select(stays, images, moved, out=moved)
