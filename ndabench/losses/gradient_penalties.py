"""Penalties on the gradient of a discriminator with respect to its inputs.

>>> r1(lambda inputs: 3 * inputs.sum(1), real=torch.zeros(2, 4))  # ½ · 4 · 3²
tensor(18.)
"""

from collections.abc import Callable

import torch
from torch import Tensor

Discriminate = Callable[[Tensor], Tensor]
"""Inputs `[N, ...]` to logits `[N]`, each of which depends on its own input only."""


def r1(discriminate: Discriminate, real: Tensor) -> Tensor:
    """½·E‖∇D(x)‖² over real inputs `[N, ...]`, a scalar (Mescheder et al., arXiv 1801.04406)."""
    return _squared_norms(discriminate, real).mean() / 2


def wasserstein_penalty(discriminate: Discriminate, mixed: Tensor) -> Tensor:
    """E(‖∇D(x)‖ − 1)² over inputs `[N, ...]` between real and fake ones, a scalar (Gulrajani et al.,
    arXiv 1704.00028)."""
    return ((_squared_norms(discriminate, mixed) + 1e-12).sqrt() - 1).square().mean()


def _squared_norms(discriminate: Discriminate, inputs: Tensor) -> Tensor:
    inputs = inputs.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminate(inputs).sum(), inputs, create_graph=True)
    return gradient.flatten(1).square().sum(1)
