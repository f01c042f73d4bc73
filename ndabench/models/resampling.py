"""Convolutions with the resampling before or after them folded into the kernel.

BigGAN up-samples by repeating pixels before a 3×3 convolution and down-samples by 2×2 means after one.
Either pair is one linear map, equal to a (transposed) 4×4 convolution of stride 2 whose kernel is the
3×3 one summed over 2×2 shifts, at 16/36 of the multiplications. Only rounding differs.
"""

import torch.nn.functional as F
from torch import Tensor


def convolve(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """A convolution that keeps the resolution; the kernel `[out, in, k, k]` is odd."""
    return F.conv2d(images, kernel, bias, padding=kernel.shape[-1] // 2)


def convolve_then_pool(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """`mean_pool_2x2(convolve(images))` for a 3×3 kernel, `[N, in, H, W] -> [N, out, H/2, W/2]`."""
    return F.conv2d(images, _box_filtered(kernel) / 4, bias, stride=2, padding=1)


def upsample_then_convolve(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """`convolve(repeat_pixels_2x2(images))` for a 3×3 kernel, `[N, in, H, W] -> [N, out, 2H, 2W]`."""
    transposed = _box_filtered(kernel).flip(2, 3).transpose(0, 1)
    return F.conv_transpose2d(images, transposed, bias, stride=2, padding=1)


def _box_filtered(kernel: Tensor) -> Tensor:
    """The sum of a kernel's four 2×2 shifts, `[out, in, 3, 3] -> [out, in, 4, 4]`."""
    padded = F.pad(kernel, (1, 1, 1, 1))
    rows = padded[..., 1:, :] + padded[..., :-1, :]
    return rows[..., 1:] + rows[..., :-1]
