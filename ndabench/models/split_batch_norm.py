"""Batch normalisation by parts of the batch, so that MoCo works on one device instead of several.

In MoCo (He et al., arXiv 1911.05722, section 3.3) query and key must not share their batch's moments, or
the moments give the answer away. With the moments of several parts of a batch and the keys in another
order, one device does as well as several with shuffled batches.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.errors import UserError


class _SplitMoments(nn.modules.batchnorm._BatchNorm):
    """Normalises `[N, C, ...]`; in training by the moments of each of `splits` equal parts of the batch.

    The parts are consecutive images of the global batch. Each of several workers holds `splits / world_size`
    whole parts and needs nothing from the others; a single split is the global batch itself, and its moments
    are taken over all workers. The running moments move towards the mean of this worker's parts' moments;
    `average_running_moments` makes them those of all parts.

    Evaluation, parameters, buffers and their names are those of PyTorch's batch norms. As there, setting
    `track_running_stats` to False on the finished module leaves its running moments as they are.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, channels: int, *, splits: int = 1, workers: Workers | None = None) -> None:
        """Raises `UserError` for several splits that the workers cannot share equally."""
        super().__init__(channels)
        self.workers = workers or Workers()
        self.splits = splits
        world_size = self.workers.world_size
        if splits < 1 or (splits > 1 and splits % world_size):
            raise UserError(
                f"{splits} batch-norm splits cannot be shared equally by {world_size} workers; "
                f"take 1 (moments over all workers) or a multiple of {world_size}"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Raises `UserError` in training for a batch that does not fall into equal parts."""
        if not self.training:
            return super().forward(images)
        if self.track_running_stats:
            self.num_batches_tracked.add_(1)
        if self.splits == 1 and self.workers.world_size > 1:
            return self._normalise_over_workers(images)
        num_parts = self.splits // self.workers.world_size
        if num_parts == 1:
            return self._normalise(images, self._moving(self.running_mean), self._moving(self.running_var))
        return self._normalise_parts(images, num_parts)

    def _moving(self, moment: Tensor) -> Tensor:
        """The tensor itself, or a copy where it must not move.

        Without moments PyTorch would save fewer tensors for the backward pass, and activation checkpointing
        needs equally many from each of its two passes.
        """
        return moment if self.track_running_stats else moment.clone()

    def _normalise(self, images: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """By the images' own moments, towards which `mean` and `variance` move in place."""
        return F.batch_norm(images, mean, variance, self.weight, self.bias, True, self.momentum, self.eps)

    def _normalise_parts(self, images: Tensor, num_parts: int) -> Tensor:
        """Part by part, because slices of a batch need no copy in either memory format."""
        _check_parts(images, num_parts, self.workers)
        parts = images.chunk(num_parts)
        means = self.running_mean.repeat(num_parts, 1)
        variances = self.running_var.repeat(num_parts, 1)
        outputs = [self._normalise(*each) for each in zip(parts, means, variances, strict=True)]
        if self.track_running_stats:
            self.running_mean.copy_(means.mean(0))
            self.running_var.copy_(variances.mean(0))
        return torch.cat(outputs)

    def _normalise_over_workers(self, images: Tensor) -> Tensor:
        """By the moments of all workers' batches, from each one's in a single exchange:
        `variance = mean of (each variance + (each mean - mean)²)`, weighed by their numbers of values."""
        values = images.to(torch.promote_types(images.dtype, torch.float32))
        variance, mean = torch.var_mean(values, (0, *range(2, values.dim())), correction=0)
        own = torch.stack([mean, variance, torch.full_like(mean, values.numel() // values.shape[1])])[None]
        means, variances, counts = self.workers.all_gather_with_gradient(own).unbind(1)
        count = counts.detach().sum(0)
        share = counts.detach() / count
        mean = (means * share).sum(0)
        variance = ((variances + (means - mean).square()) * share).sum(0)
        if self.track_running_stats:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        channels = (-1, *[1] * (values.dim() - 2))
        scale = (torch.rsqrt(variance + self.eps) * self.weight).view(channels)
        normalised = (values - mean.view(channels)) * scale + self.bias.view(channels)
        return normalised.to(images.dtype)


class SplitBatchNorm(_SplitMoments, nn.BatchNorm2d):
    """For images, `[N, C, H, W]`."""


class SplitBatchNorm3d(_SplitMoments, nn.BatchNorm3d):
    """For clips, `[N, C, T, H, W]`."""


@torch.no_grad()
def average_running_moments(network: nn.Module, workers: Workers) -> None:
    """Replaces the running moments of every split batch norm in `network` by their mean over the workers.

    They are linear in the parts' moments, so whenever this is called, the result equals that of one worker
    with all parts. All workers must call it.
    """
    if workers.world_size == 1:
        return
    moments = [moment for norm in _norms(network) for moment in (norm.running_mean, norm.running_var)]
    if not moments:
        return
    mean = workers.all_reduce_sum(torch.cat(moments)) / workers.world_size
    for moment, value in zip(moments, mean.split([len(moment) for moment in moments]), strict=True):
        moment.copy_(value)


def take_whole_batches(network: nn.Module) -> nn.Module:
    """`network` itself, its split batch norms from now on normalising by the whole batch's moments and
    keeping running ones: for a training that has no keys to hide from queries."""
    for norm in _norms(network):
        norm.splits, norm.track_running_stats = 1, True
    return network


def keep_running_moments(network: nn.Module) -> None:
    """From now on no forward pass of `network` moves its running moments."""
    for norm in _norms(network):
        norm.track_running_stats = False


@contextmanager
def running_moments_kept(network: nn.Module) -> Iterator[None]:
    """Within it, forward passes leave the running moments of `network` as they are."""
    tracking = [norm for norm in _norms(network) if norm.track_running_stats]
    keep_running_moments(network)
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True


def _norms(network: nn.Module) -> list[_SplitMoments]:
    return [module for module in network.modules() if isinstance(module, _SplitMoments)]


def _check_parts(images: Tensor, num_parts: int, workers: Workers) -> None:
    if len(images) % num_parts:
        splits = num_parts * workers.world_size
        raise UserError(
            f"a batch of {len(images) * workers.world_size} images does not fall into {splits} equal "
            f"batch-norm splits; make the batch size a multiple of {splits}"
        )
    if images.numel() == images.shape[1] * num_parts:
        raise UserError(
            f"batch-norm splits of a single image whose feature maps are 1×1 ({tuple(images.shape)} in "
            f"{num_parts} splits) have no variance; take fewer splits or larger batches"
        )
