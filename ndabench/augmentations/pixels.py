"""Pixel operations of the negatives: reading runs, choosing between two images, marking boxes, turning.

They are chosen for speed on CPUs as well as GPUs: with torch 2.15 on two CPU cores `torch.where` takes 25 to
85 times as long as a copy of the batch, an interpolation by a 0/1 mask twice as long; `index_select` over
runs of pixels takes twice as long with 32-bit indices and five times with 64-bit ones.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from ndabench.errors import UserError


def black(images: Tensor) -> float:
    """The darkest value: 0 for uint8, -1 for float images."""
    return -1.0 if images.is_floating_point() else 0.0


def to_dtype_of(images: Tensor, values: Tensor) -> Tensor:
    """Float `values` in `images`' range as `images`' dtype, rounded and clamped where that is uint8."""
    return values.to(images.dtype) if images.is_floating_point() else values.round().clamp(0, 255).byte()


def select(mask: Tensor, chosen: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`chosen` where `mask` is 1, `other` where it is 0, exactly; `mask` broadcasts and has their dtype.

    `out` is overwritten; reusing a tensor that is no longer needed is a quarter faster on CPUs.
    """
    if other.is_floating_point():
        return torch.lerp(other, chosen, mask, out=out)
    return torch.bitwise_xor(other, (other ^ chosen) & mask.mul(255), out=out)


def box(images: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The mask `[N, 1, H, W]` of rows start[0]..end[0] and columns start[1]..end[1], ends left out.

    Both are `[2, N]`; a fraction of a pixel counts as inside when the pixel's number is.
    """
    h, w = images.shape[-2:]
    position = torch.arange(max(h, w), dtype=start.dtype, device=images.device)
    inside = (position >= start[..., None]) & (position < end[..., None])
    rows, columns = inside.to(images.dtype)
    return rows[:, None, :h, None] * columns[:, None, None, :w]


def index_type(buffer: Tensor) -> torch.dtype:
    """The narrowest integer type that can point anywhere into `buffer`."""
    return torch.int32 if buffer.numel() < 2**31 else torch.int64


def read_runs(buffer: Tensor, starts: Tensor, length: int) -> Tensor:
    """Runs of `length` consecutive values of every plane of `buffer` `[N, C, h, w]`, end to end.

    `starts` `[N, R]`, of `index_type(buffer)`, are positions within a plane, the same for all planes of an
    image; the result is `[N, C, R * length]`.
    """
    n, c, h, w = buffer.shape
    planes = torch.arange(0, buffer.numel(), h * w, dtype=starts.dtype, device=buffer.device)
    everywhere = planes.view(n, c, 1) + starts[:, None]
    return buffer.reshape(-1).unfold(0, length, 1).index_select(0, everywhere.view(-1)).view(n, c, -1)


def span(name: str, side: int, smallest: float, largest: float, *, least: int, most: int) -> tuple[int, int]:
    """The whole numbers of pixels between two fractions of `side` and within least..most, as (low, high)."""
    if not 0 < smallest <= largest <= 1:
        raise UserError(f"{name}: needs 0 < smallest <= largest <= 1, got {smallest} and {largest}")
    low, high = max(math.ceil(smallest * side), least), min(math.floor(largest * side), most)
    if low > high:
        raise UserError(
            f"{name}: a side of {side} pixels is too small; {smallest} to {largest} of it must hold a whole "
            f"number from {least} to {most}"
        )
    return low, high


def check_grid(grid: int, height: int, width: int) -> None:
    """`UserError` unless `grid` × `grid` tiles cover the image exactly and are more than one."""
    if grid < 2:
        raise UserError(f"jigsaw: grid must be at least 2, got {grid}")
    if height % grid or width % grid:
        raise UserError(
            f"jigsaw: a grid of {grid} does not divide images of {height}×{width}; "
            f"both sides must be multiples of {grid}"
        )


def place_tiles(images: Tensor, source: Tensor) -> Tensor:
    """Images whose tile in row i, column j is the input's tile number `source[n, i, j]`, counted row by row.

    `source` is `[N, grid, grid]`. Every line of a tile is read as one run.
    """
    _, _, h, w = images.shape
    grid = source.shape[-1]
    tile_h, tile_w = h // grid, w // grid
    line = torch.arange(0, h * w, w, dtype=index_type(images), device=images.device)
    column = torch.arange(0, w, tile_w, dtype=line.dtype, device=images.device)
    corners = (line[::tile_h, None] + column).flatten().index_select(0, source.flatten()).view(source.shape)
    starts = corners[:, :, None, :] + line[:tile_h, None]
    return read_runs(images, starts.flatten(1), tile_w).view(images.shape)


@lru_cache
def rotation(height: int, width: int, degrees: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where each pixel of an image turned counter-clockwise about its centre comes from (nearest neighbour).

    Of two neighbours that are equally near, the one with the even row or column. torchvision computes in
    float32, whose rounding decides such ties: it differs in some of them, and in no other pixel.

    Returns `[H * W]` int64 positions and `[H * W]` bool: whether that position was outside the image (and the
    position is then arbitrary). Raises `UserError` when no pixel would move.
    """
    if not math.isfinite(degrees):
        raise UserError(f"rotate: degrees must be finite, got {degrees}")
    angle = math.radians(degrees)
    y = torch.arange(height, dtype=torch.float64)[:, None] + 0.5 - height / 2
    x = torch.arange(width, dtype=torch.float64) + 0.5 - width / 2
    column = _nearest(math.cos(angle) * x - math.sin(angle) * y + (width - 1) / 2)
    row = _nearest(math.sin(angle) * x + math.cos(angle) * y + (height - 1) / 2)
    outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
    position = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    if torch.equal(position.flatten(), torch.arange(height * width)):
        raise UserError(f"rotate: {degrees} degrees moves no pixel of images of {height}×{width}")
    return position.flatten().to(device), outside.flatten().to(device)


def _nearest(positions: Tensor) -> Tensor:
    """The nearest whole numbers, of ties the even ones; sine and cosine are too inexact to show a tie."""
    return positions.round(decimals=9).round().long()
