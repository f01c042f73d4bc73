"""Which examples make up which batch."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ndabench.errors import UserError


def shuffled_batches(num_examples: int, batch_size: int, *, seed: int, start: int = 0) -> Iterator[Tensor]:
    """Endless index batches `[batch_size]`: every epoch has a new permutation; its partial batch is dropped.

    Batch `k` is a function of `(seed, k)` alone, so that `start=k` resumes at batch `k` without
    drawing the ones before it. Raises `UserError` when not even one batch can be filled.
    """
    if not 1 <= batch_size <= num_examples:
        raise UserError(
            f"batch_size {batch_size} must lie between 1 and the number of images, {num_examples}"
        )
    return _shuffled_batches(num_examples, batch_size, seed, start)


def _shuffled_batches(num_examples: int, batch_size: int, seed: int, start: int) -> Iterator[Tensor]:
    epoch, first = divmod(start, num_examples // batch_size)
    while True:
        order = _permutation(num_examples, seed, epoch)
        yield from order[: num_examples // batch_size * batch_size].split(batch_size)[first:]
        epoch, first = epoch + 1, 0


def _permutation(num_examples: int, seed: int, epoch: int) -> Tensor:
    mixed = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0]
    return torch.randperm(num_examples, generator=torch.Generator().manual_seed(int(mixed)))


def in_order(num_examples: int, batch_size: int) -> Iterator[Tensor]:
    """Every index once, in order, in batches of `batch_size`; the last one may be smaller."""
    return iter(torch.arange(num_examples).split(batch_size))
