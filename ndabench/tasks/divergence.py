"""Noticing that a training has left the finite numbers."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from ndabench.tasks.task import DivergedError


def check_finite(values: Mapping[str, float], networks: Mapping[str, nn.Module], *, step: int) -> None:
    """`DivergedError`, naming it, where one of `values` or a weight in `networks` is not finite."""
    norms = {f"the norm of the {name}'s weights": _norm(network) for name, network in networks.items()}
    for name, value in {**values, **norms}.items():
        if not math.isfinite(value):
            raise DivergedError(f"{name} is {value} at step {step}")


@torch.no_grad()
def _norm(network: nn.Module) -> float:
    return torch.stack(torch._foreach_norm(list(network.parameters()))).norm().item()
