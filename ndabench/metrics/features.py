"""The features that a frozen encoder computes from images, for probes and nearest neighbours.

The features of FID and its relatives are in `generators/extraction.py`.

An encoder is any module that maps float images in [-1, 1], `[N, C, H, W]`, to `[N, d]` and has `dimension`
d. It is evaluated in eval mode, in float32 and without gradients. Afterwards its parameters, its buffers and
the mode of each of its modules are what they were before, bit for bit.

Workers share the work by slices of rows and gather the results, so that all of them end with equal ones.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ndabench.data.images import ImageSplit, to_float
from ndabench.distributed import Workers

BATCH_SIZE = 256
"""Images in one forward pass; it changes memory and speed, not the features."""


@contextmanager
def full_precision() -> Iterator[None]:
    """Runs the block in float32, without the autocast and TF32 that the caller may train with: they change a
    distance."""
    cudnn: Any = torch.backends.cudnn  # its stubs do not know `conv`
    operators: list[Any] = [cudnn.conv, torch.backends.cuda.matmul]
    before = [operator.fp32_precision for operator in operators]
    try:
        for operator in operators:
            operator.fp32_precision = "ieee"
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        for operator, precision in zip(operators, before, strict=True):
            operator.fp32_precision = precision


@contextmanager
def frozen(encoder: nn.Module) -> Iterator[None]:
    """Inside: eval mode, float32, no gradients. Afterwards every module is in the mode it was in."""
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        with torch.no_grad(), full_precision():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def own_rows(count: int, workers: Workers) -> Tensor:
    """This worker's slice of the rows 0 to `count` - 1, int64 on the CPU, equally long on every worker.

    Where the number of workers does not divide the rows, the last row is repeated: the first `count` rows of
    what they gather are the result.
    """
    share = -(-count // workers.world_size)
    return workers.shard(torch.arange(share * workers.world_size).clamp(max=count - 1))


def in_shares(count: int, compute: Callable[[Tensor], Tensor], workers: Workers) -> Tensor:
    """`compute` over the rows 0 to `count` - 1, `[count, ...]`: each worker computes its slice, all get the
    whole.

    `compute` takes row numbers, int64 `[m]` on the CPU, to `[m, ...]` on the workers' device.
    """
    return workers.all_gather(compute(own_rows(count, workers)))[:count]


def backbone_features(
    encoder: nn.Module, split: ImageSplit, workers: Workers, *, size: int | None = None
) -> Tensor:
    """float32 `[len(split), d]` on the workers' device, of the images as they are stored or of their central
    `size` × `size` pixels."""

    def encode(rows: Tensor) -> Tensor:
        batches = split.batches(rows.split(BATCH_SIZE))
        return torch.cat([encoder(to_float(middle(images, size))).float() for images, _ in batches])

    with frozen(encoder):
        return in_shares(len(split), encode, workers)


def middle(images: Tensor, size: int | None) -> Tensor:
    """The central `size` × `size` pixels of `[..., H, W]`, or as many as there are; None: all."""
    if size is None:
        return images
    height, width = images.shape[-2:]
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    return images[..., top : top + size, left : left + size]


class Examples(NamedTuple):
    """Features `[n, d]` with their labels, int64 `[n]`, on one device."""

    features: Tensor
    labels: Tensor
