"""The negatives of Sinha et al. (ICLR 2021) and those it compares with, by corrected rules; and `patches`, of
Ge et al. (NeurIPS 2021, arXiv 2110.14189).

Every function takes images `[N, C, H, W]`, uint8 or float in [-1, 1], and a generator on their device, and
returns new images of the same shape and dtype. Draws are made per image; nothing waits for the device. Sizes
are fractions of the image's sides, with defaults that give the paper's pixels at 32×32.

Each docstring says when an image changes: no draw is the identity *operation*, but an image can be invariant
to one (a flat image looks the same however its tiles are placed). For images of an unsuitable size a
`UserError` says which sizes would fit.

`clips.py` lifts them to clips. Those that pair images also exist with given partners, since a frame's partner
must not come from the same clip.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ndabench.augmentations import draws, pixels
from ndabench.errors import UserError


def jigsaw(images: Tensor, *, generator: torch.Generator, grid: int = 2) -> Tensor:
    """Tiles of a `grid` × `grid` puzzle in a new order, uniform over all but the right one.

    Some tile always moves; the image changes unless the exchanged tiles look the same.
    """
    pixels.check_grid(grid, *images.shape[-2:])
    order = draws.orders(len(images), grid * grid, generator=generator)
    return pixels.place_tiles(images, order.view(-1, grid, grid))


def stitch(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """The upper (or left) half of an image with the lower (or right) half of another, axis drawn per image.

    The image changes unless its partner's half looks the same.
    """
    return stitch_with(images, draws.partners("stitch", images, generator=generator), generator=generator)


def stitch_with(images: Tensor, partner: Tensor, *, generator: torch.Generator) -> Tensor:
    """`stitch` with given partners, `[N, C, H, W]`, which are overwritten."""
    n, _, h, w = images.shape
    if min(h, w) < 2:
        raise UserError(f"stitch: images of {h}×{w} cannot be halved; both sides need at least 2 pixels")
    halves = images.new_zeros(2, 1, h, w)
    halves[0, :, h // 2 :] = 1
    halves[1, :, :, w // 2 :] = 1
    axis = draws.integers(0, 1, n, generator=generator)
    return pixels.select(halves.index_select(0, axis), partner, images, out=partner)


def mixup(images: Tensor, *, generator: torch.Generator, alpha: float = 25.0) -> Tensor:
    """λ·image + (1 − λ)·partner with λ ~ Beta(alpha, alpha) per image.

    The image changes unless its partner looks the same (for uint8, to within rounding).
    """
    partner = draws.partners("mixup", images, generator=generator)
    return mixup_with(images, partner, generator=generator, alpha=alpha)


def mixup_with(images: Tensor, partner: Tensor, *, generator: torch.Generator, alpha: float = 25.0) -> Tensor:
    """`mixup` with given partners, `[N, C, H, W]`, which are overwritten."""
    share = draws.betas(alpha, len(images), generator=generator).view(-1, 1, 1, 1)
    if images.is_floating_point():
        return partner.lerp_(images, share.to(images.dtype))
    return pixels.to_dtype_of(images, torch.lerp(partner.float(), images.float(), share))


def cutout(
    images: Tensor, *, generator: torch.Generator, smallest: float = 0.3, largest: float = 0.6
) -> Tensor:
    """A square filled with its own mean per channel; side in [smallest, largest] of the shorter side.

    The square has at least 2×2 pixels and lies anywhere inside; the image changes unless the square is flat.
    """
    n, _, h, w = images.shape
    low, high = pixels.span("cutout", min(h, w), smallest, largest, least=2, most=min(h, w))
    side = draws.integers(low, high, n, generator=generator)
    corner = draws.below(torch.stack([h + 1 - side, w + 1 - side]), generator=generator)
    mask = pixels.box(images, corner, corner + side)
    inside = images * mask
    mean = inside.sum((2, 3), keepdim=True, dtype=torch.float32) / side.square().view(n, 1, 1, 1)
    return pixels.select(mask, pixels.to_dtype_of(images, mean), images, out=inside)


def mismatched(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Another image of the batch: a negative only of paired images, whose input belongs to the first."""
    return draws.partners("mismatched", images, generator=generator)


def cutmix(images: Tensor, *, generator: torch.Generator, alpha: float = 1.0) -> Tensor:
    """A box of another image, covering 1 − λ of the area (λ ~ Beta(alpha, alpha)) before it is clipped.

    Its centre is uniform over the pixels. The box holds its centre and never a whole row or column, so that
    the output is neither image; it changes unless the partner's box looks the same.
    """
    partner = draws.partners("cutmix", images, generator=generator)
    return cutmix_with(images, partner, generator=generator, alpha=alpha)


def cutmix_with(images: Tensor, partner: Tensor, *, generator: torch.Generator, alpha: float = 1.0) -> Tensor:
    """`cutmix` with given partners, `[N, C, H, W]`, which are overwritten."""
    n, _, h, w = images.shape
    if min(h, w) < 2:
        raise UserError(
            f"cutmix: images of {h}×{w} are too small for a box; both sides need at least 2 pixels"
        )
    # λ and 1 − λ have the same distribution.
    share = draws.betas(alpha, n, generator=generator).sqrt()
    half = torch.stack([(share * side).clamp(1, side - 1) for side in (h, w)]) / 2
    centre = torch.stack([draws.integers(0, side - 1, n, generator=generator) for side in (h, w)])
    return pixels.select(pixels.box(images, centre - half, centre + half), partner, images, out=partner)


def rotate(images: Tensor, *, generator: torch.Generator, degrees: float = 60.0) -> Tensor:
    """Turned about the centre by `degrees`, the direction drawn per image; nearest neighbour, black outside.

    Some pixel always moves; the image changes unless it is symmetric under the turn.
    """
    n, c, h, w = images.shape
    turns = [pixels.rotation(h, w, angle, images.device) for angle in (degrees, -degrees)]
    direction = draws.integers(0, 1, n, generator=generator)
    position = torch.stack([source for source, _ in turns]).index_select(0, direction)
    outside = torch.stack([beyond for _, beyond in turns]).to(images.dtype).index_select(0, direction)
    turned = images.reshape(n, c, h * w).gather(2, position[:, None].expand(n, c, h * w))
    filling = torch.full_like(turned[:1, :1, :1], pixels.black(images))
    return pixels.select(outside[:, None], filling, turned, out=turned).view(n, c, h, w)


def shift(
    images: Tensor, *, generator: torch.Generator, smallest: float = 0.3, largest: float = 0.75
) -> Tensor:
    """Moved down and right with true wrap-around, each by [smallest, largest] of its side.

    Both moves are real; the image changes unless it repeats itself with their period.
    """
    n, _, h, w = images.shape
    down = pixels.span("shift", h, smallest, largest, least=1, most=h - 1)
    right = pixels.span("shift", w, smallest, largest, least=1, most=w - 1)
    # Rows are continued with their own beginning: any window of width w is then a shifted row.
    wide = torch.cat([images, images[..., : w - right[0]]], -1)
    kind = pixels.index_type(wide)
    source_row = h - draws.integers(*down, n, generator=generator).to(kind)
    source_column = w - draws.integers(*right, n, generator=generator).to(kind)
    row = (torch.arange(h, dtype=kind, device=images.device) + source_row[:, None]) % h
    return pixels.read_runs(wide, row * wide.shape[-1] + source_column[:, None], w).view(images.shape)


def gaussian_noise(images: Tensor, *, generator: torch.Generator, std: float = 0.2) -> Tensor:
    """Independent normal noise on every value, of `std` on the [-1, 1] scale, clipped to the range.

    The image changes unless the noise rounds to 0 (uint8) or only pushes values past the ends of the range.
    """
    if not 0 < std < math.inf:
        raise UserError(f"gaussian_noise: std must be finite and above 0, got {std}")
    dtype = images.dtype if images.is_floating_point() else torch.float32
    noise = torch.empty(images.shape, dtype=dtype, device=images.device)
    if images.is_floating_point():
        return noise.normal_(0.0, std, generator=generator).add_(images).clamp_(-1, 1)
    return pixels.to_dtype_of(images, noise.normal_(0.0, std * 127.5, generator=generator).add_(images))


def random_crop(images: Tensor, *, generator: torch.Generator, padding: float = 0.125) -> Tensor:
    """A window of the image padded with black by `padding` of each side, anywhere but in the middle.

    At least one line of pixels leaves the image; it changes unless it is black there and repeats itself.
    """
    if not 0 < padding <= 1:
        raise UserError(f"random_crop: padding must lie in (0, 1], got {padding}")
    n, _, h, w = images.shape
    pad_h, pad_w = max(round(padding * h), 1), max(round(padding * w), 1)
    places_w = 2 * pad_w + 1
    middle = pad_h * places_w + pad_w
    place = draws.integers(0, 2 * middle - 1, n, generator=generator)
    place = place + (place >= middle)
    # Black lines above and below each plane, and black after each row, which is also before the next row.
    padded = functional.pad(images, (0, pad_w, 1, 1), value=pixels.black(images))
    kind = pixels.index_type(padded)
    place = place.to(kind)
    row = torch.arange(1, h + 1, dtype=kind, device=images.device) + (place // places_w - pad_h)[:, None]
    column = (place % places_w - pad_w)[:, None]
    starts = (row.clamp(0, h + 1) * (w + pad_w) + column).clamp(min=0)
    return pixels.read_runs(padded, starts, w).view(images.shape)


def flip(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Every image mirrored left to right. Nothing is drawn, so `generator` is not used.

    The image changes unless it is its own mirror image. Mirrored photographs mostly lie *inside* the data's
    support, which is why the paper shows this one failing as a negative.
    """
    return images.flip(-1)


def patches(
    images: Tensor, *, generator: torch.Generator, smallest: float = 16 / 224, largest: float = 72 / 224
) -> Tensor:
    """The image tiled with square patches taken from uniformly drawn places of it; the last ones are cut off.

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
