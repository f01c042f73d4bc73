"""Random draws for whole batches: on the generator's device, of fixed shape, and never read by the host.

Forbidden results (an identity, an image as its own partner) are excluded by construction, since drawing
until one is allowed would make the host wait for the device.
"""

import math
from functools import lru_cache
from itertools import islice, permutations

import torch
from torch import Tensor

from ndabench.errors import UserError

_LARGEST_TABLE = 6
"""Up to this size orders are drawn from a table (of 719); above, fewer than one in 5000 is the identity."""


def orders(count: int, size: int, *, generator: torch.Generator) -> Tensor:
    """`[count, size]` int64: permutations of `range(size)`, independent, uniform and never the identity.

    Exactly uniform up to size 6. Above, an identity (probability 1/size!) becomes a swap of the first two.
    """
    device = generator.device
    if size <= _LARGEST_TABLE:
        table = _all_orders(size, device)
        return table.index_select(0, torch.randint(len(table), (count,), generator=generator, device=device))
    order = torch.rand(count, size, generator=generator, device=device).argsort(1)
    straight = torch.arange(size, device=device)
    exchanged = torch.cat([straight[:2].flip(0), straight[2:]])
    return torch.where((order == straight).all(1, keepdim=True), exchanged, order)


@lru_cache
def _all_orders(size: int, device: torch.device) -> Tensor:
    return torch.tensor(list(islice(permutations(range(size)), 1, None)), device=device)


def partners(name: str, images: Tensor, *, generator: torch.Generator) -> Tensor:
    """`images` reordered along one uniformly drawn cycle through the batch, so that none is its own partner.

    Raises `UserError` in the name of the augmentation for fewer than two images.
    """
    check_partners(name, len(images))
    cycle = torch.randperm(len(images), generator=generator, device=generator.device)
    partner = torch.empty_like(cycle).scatter_(0, cycle, cycle.roll(1))
    return images.index_select(0, partner)


def check_partners(name: str, count: int) -> None:
    """`UserError`, in the name of the augmentation, for fewer than two images."""
    if count < 2:
        raise UserError(f"{name}: pairs each image with another, so a batch needs at least 2, got {count}")


def betas(alpha: float, count: int, *, generator: torch.Generator) -> Tensor:
    """`[count]` float32 drawn from Beta(alpha, alpha)."""
    if not 0 < alpha < math.inf:
        raise UserError(f"alpha must be finite and above 0, got {alpha}")
    if alpha == 1:  # the uniform distribution, far cheaper to draw
        return torch.rand(count, generator=generator, device=generator.device)
    # torch.distributions.Beta takes no generator; this is the kernel beneath it.
    concentration = torch.full((count, 2), float(alpha), device=generator.device)
    return torch._sample_dirichlet(concentration, generator=generator)[:, 0]


def integers(low: int, high: int, count: int, *, generator: torch.Generator) -> Tensor:
    """`[count]` int64, uniform over low..high, both included."""
    return torch.randint(low, high + 1, (count,), generator=generator, device=generator.device)


def below(limits: Tensor, *, generator: torch.Generator) -> Tensor:
    """int64 of the shape of `limits`: each uniform over 0..limit-1, for limits far below 2^24."""
    return (torch.rand(limits.shape, generator=generator, device=generator.device) * limits).long()
