"""Spectral normalisation (Miyato et al., arXiv 1802.05957) as BigGAN trains with it.

A weight W, seen as a matrix of one row for each output, is divided by an estimate of its largest singular
value: one power iteration for each forward in training, from where the last one stopped.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.models.resampling import convolve

INITIAL_STD = 0.02


class SpectralWeight(nn.Module):
    """A parameter of the given shape; calling the module gives W / σ(W), always in float32.

    The vector `u` (the left singular vector's estimate) moves only in training mode; in evaluation the same
    iteration is made and forgotten.
    """

    u: Tensor

    def __init__(self, *shape: int, generator: torch.Generator, eps: float = 1e-8) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.empty(shape).normal_(0, INITIAL_STD, generator=generator))
        self.register_buffer("u", torch.randn(shape[0], generator=generator))
        self.eps = eps

    def forward(self) -> Tensor:
        with torch.autocast(self.value.device.type, enabled=False):
            matrix = self.value.flatten(1)
            with torch.no_grad():
                v = F.normalize(matrix.T @ self.u, dim=0, eps=self.eps)
                u = F.normalize(matrix @ v, dim=0, eps=self.eps)
                if self.training:
                    self.u.copy_(u)
            return self.value / torch.dot(u, matrix @ v)


class SpectralConv2d(nn.Module):
    """A convolution with a spectrally normalised kernel, `[N, in, H, W] -> [N, out, H', W']`.

    `apply(images, kernel, bias)` is the convolution itself; see `ndabench.models.resampling` for those
    that change the resolution as well.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        generator: torch.Generator,
        apply: Callable[[Tensor, Tensor, Tensor], Tensor] = convolve,
    ) -> None:
        super().__init__()
        self.weight = SpectralWeight(out_channels, in_channels, kernel_size, kernel_size, generator=generator)
        self.bias = initial_bias(out_channels, in_channels * kernel_size**2, generator)
        self.convolution = apply

    def forward(self, images: Tensor) -> Tensor:
        return self.convolution(images, self.weight(), self.bias)


class SpectralLinear(nn.Module):
    """A linear layer with a spectrally normalised weight, `[N, in] -> [N, out]`."""

    def __init__(self, in_features: int, out_features: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = SpectralWeight(out_features, in_features, generator=generator)
        self.bias = initial_bias(out_features, in_features, generator)

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight(), self.bias)


class SpectralEmbedding(nn.Module):
    """An embedding with a spectrally normalised table, `[N] -> [N, features]`."""

    def __init__(self, num_embeddings: int, features: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = SpectralWeight(num_embeddings, features, generator=generator)

    def forward(self, labels: Tensor) -> Tensor:
        return F.embedding(labels, self.weight())


def initial_bias(size: int, fan_in: int, generator: torch.Generator) -> nn.Parameter:
    """A bias with PyTorch's own initialisation, which the released code leaves as it is."""
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(size).uniform_(-bound, bound, generator=generator))
