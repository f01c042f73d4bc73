"""The folded convolutions equal resampling and convolution one after the other, gradients included."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ndabench.models.resampling import convolve, convolve_then_pool, upsample_then_convolve


def _pooled(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    return F.avg_pool2d(F.conv2d(images, kernel, bias, padding=1), 2)


def _upsampled(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(F.interpolate(images, scale_factor=2), kernel, bias, padding=1)


PAIRS = {"pool": (convolve_then_pool, _pooled), "upsample": (upsample_then_convolve, _upsampled)}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_equals_the_plain_form(pair: str, memory_format: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 6, 8, generator=generator).contiguous(memory_format=memory_format)
    inputs = [images, torch.randn(5, 3, 3, 3, generator=generator), torch.randn(5, generator=generator)]
    results = []
    for function in PAIRS[pair]:
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        output = function(*leaves)
        probe = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
        results.append([output, *torch.autograd.grad((output * probe).sum(), leaves)])
    for folded, plain in zip(*results, strict=True):
        torch.testing.assert_close(folded, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_convolve_keeps_the_resolution(size: int) -> None:
    images = torch.randn(2, 3, 5, 4)
    assert convolve(images, torch.randn(7, 3, size, size), torch.zeros(7)).shape == (2, 7, 5, 4)
