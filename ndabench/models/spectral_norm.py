"""Spectral normalisation (Miyato et al., arXiv 1802.05957) as BigGAN trains with it.

A weight W, seen as a matrix of one row for each output, is divided by an estimate of its largest singular
value: one power iteration for each forward in training, from where the last one stopped.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.models.resampling import convolve

INITIAL_STD = 0.02
TOGETHER_ON = frozenset({"cuda"})
"""Kinds of devices on which a network's weights are normalised together: on a GPU the launches of a layer's
small kernels cost more than the kernels. The results differ by rounding, and CPUs gain nothing."""


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
        self.ready: Tensor | None = None
        """What `normalise_together` made for the next call."""

    def forward(self) -> Tensor:
        ready, self.ready = self.ready, None
        if ready is not None:
            return ready
        with torch.autocast(self.value.device.type, enabled=False):
            matrix = self.value.flatten(1)
            with torch.no_grad():
                v = F.normalize(matrix.T @ self.u, dim=0, eps=self.eps)
                u = F.normalize(matrix @ v, dim=0, eps=self.eps)
                if self.training:
                    self.u.copy_(u)
            return self.value / torch.dot(u, matrix @ v)


def normalise_together(network: nn.Module) -> None:
    """Before a forward pass of `network` that calls each of its weights once: weights of one shape are
    normalised in the same kernels, on devices where that pays."""
    weights = [module for module in network.modules() if isinstance(module, SpectralWeight)]
    if not weights or weights[0].value.device.type not in TOGETHER_ON:
        return
    by_shape: dict[torch.Size, list[SpectralWeight]] = {}
    for weight in weights:
        by_shape.setdefault(weight.value.shape, []).append(weight)
    for alike in by_shape.values():
        if len(alike) > 1:
            _normalise_alike(alike)


def _normalise_alike(weights: Sequence[SpectralWeight]) -> None:
    """As `SpectralWeight.forward` of each; sums of products, because matrix products may round to TF32."""
    eps, value = weights[0].eps, weights[0].value
    with torch.autocast(value.device.type, enabled=False):
        matrices = torch.stack([weight.value for weight in weights]).flatten(2)
        with torch.no_grad():
            u = torch.stack([weight.u for weight in weights])
            v = F.normalize((matrices * u[:, :, None]).sum(1), dim=1, eps=eps)
            u = F.normalize((matrices * v[:, None]).sum(2), dim=1, eps=eps)
            if weights[0].training:
                torch._foreach_copy_([weight.u for weight in weights], list(u.unbind()))
        sigma = (u * (matrices * v[:, None]).sum(2)).sum(1)
        normalised = (matrices / sigma[:, None, None]).unflatten(2, value.shape[1:])
    for weight, ready in zip(weights, normalised.unbind(), strict=True):
        weight.ready = ready


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
