"""Batch normalisation for generators: class-conditional, synchronised over workers, on any device.

`torch.nn.SyncBatchNorm` works on GPUs only; here the workers' moments meet in a differentiable all-reduce, so
that two workers with half the batch each take the same step as one worker with the whole batch.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.models.spectral_norm import INITIAL_STD

EPS = 1e-5
MOMENTUM = 0.1


class BatchNorm(nn.Module):
    """Normalises `[N, C, H, W]` over N, H and W with a learned gain and bias for each channel.

    With `batch_statistics` the moments are those of the batch (of all workers' batches together), without
    it the running ones; these move in training mode only.
    """

    def __init__(self, channels: int, *, workers: Workers) -> None:
        super().__init__()
        self.moments = RunningMoments(channels, workers=workers)
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, images: Tensor, batch_statistics: bool) -> Tensor:
        return self.moments.normalise(images, self.gain, self.bias, batch_statistics)


class ClassBatchNorm(nn.Module):
    """`BatchNorm` with a gain 1 + e and a bias for each class (de Vries et al., arXiv 1707.00683)."""

    def __init__(
        self, channels: int, num_classes: int, *, workers: Workers, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.moments = RunningMoments(channels, workers=workers)
        shape = (num_classes, channels)
        self.gain = nn.Parameter(torch.empty(shape).normal_(0, INITIAL_STD, generator=generator))
        self.bias = nn.Parameter(torch.empty(shape).normal_(0, INITIAL_STD, generator=generator))

    def forward(self, images: Tensor, labels: Tensor, batch_statistics: bool) -> Tensor:
        if len(self.gain) == 1:  # every image has the same gain and bias: one pass over memory instead of two
            return self.moments.normalise(images, 1 + self.gain[0], self.bias[0], batch_statistics)
        normalised = self.moments.normalise(images, None, None, batch_statistics)
        gain = (1 + F.embedding(labels, self.gain))[:, :, None, None].to(images.dtype)
        bias = F.embedding(labels, self.bias)[:, :, None, None].to(images.dtype)
        return torch.addcmul(bias, normalised, gain)


class RunningMoments(nn.Module):
    """The running mean and variance of each channel, and the normalisation by these or by the batch's."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, *, workers: Workers) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.workers = workers

    def normalise(
        self, images: Tensor, gain: Tensor | None, bias: Tensor | None, batch_statistics: bool
    ) -> Tensor:
        if batch_statistics and self.workers.world_size > 1:
            return self._normalise_together(images, gain, bias)
        forget = batch_statistics and not self.training
        mean, variance = (None, None) if forget else (self.mean, self.variance)
        return F.batch_norm(images, mean, variance, gain, bias, batch_statistics, MOMENTUM, EPS)

    def _normalise_together(self, images: Tensor, gain: Tensor | None, bias: Tensor | None) -> Tensor:
        """As `F.batch_norm`, by the moments of all workers' batches; these are equally large."""
        world_size = self.workers.world_size
        values = images.float()
        mean = _MeanOverWorkers.apply(values.mean((0, 2, 3)), world_size)
        centred = values - mean[:, None, None]
        variance = _MeanOverWorkers.apply(centred.square().mean((0, 2, 3)), world_size)
        if self.training:
            count = values.numel() // values.shape[1] * world_size
            with torch.no_grad():
                self.mean.lerp_(mean, MOMENTUM)
                self.variance.lerp_(variance * (count / (count - 1)), MOMENTUM)
        scale = torch.rsqrt(variance + EPS)
        if gain is None or bias is None:
            return (centred * scale[:, None, None]).to(images.dtype)
        return (centred * (scale * gain)[:, None, None] + bias[:, None, None]).to(images.dtype)


class _MeanOverWorkers(torch.autograd.Function):
    """The mean of the workers' tensors; its gradient is the mean of their gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, world_size: int) -> Tensor:
        ctx.world_size = world_size
        total = tensor.clone()
        dist.all_reduce(total)
        return total / world_size

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _MeanOverWorkers.apply(gradients[0], ctx.world_size), None
