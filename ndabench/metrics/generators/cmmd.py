"""CMMD (Jayasumana et al., CVPR 2024, arXiv 2401.09603): 1000 · MMD² under a Gaussian kernel.

k(x, y) = exp(−‖x − y‖² / 2σ²), σ = 10, on CLIP embeddings of unit length. The estimate is the unbiased one of
their equation 5, which may be negative; their code has the biased one, larger by about (2 − 2k̄) / n · 1000.
"""

import torch
from torch import Tensor

from ndabench.metrics.generators.distances import squared_distances

SCALE = 1000.0


def cmmd(real: Tensor, fake: Tensor, *, sigma: float) -> float:
    """Of features `[m, d]` and `[n, d]` with m, n ≥ 2, summed in float64."""
    m, n = len(real), len(fake)
    within_real = _sum(real, real, sigma, same=True) / (m * (m - 1))
    within_fake = _sum(fake, fake, sigma, same=True) / (n * (n - 1))
    return SCALE * (within_real + within_fake - 2 * _sum(fake, real, sigma) / (m * n))


def _sum(x: Tensor, y: Tensor, sigma: float, *, same: bool = False) -> float:
    """Σ (k(x, y) − 1) over all pairs: the ones cancel in MMD², and with them most of the rounding."""
    blocks = squared_distances(x, y, same=same)
    parts = (part for _, block in blocks for part in block.split(256))
    return sum(torch.expm1(part.double() / (-2 * sigma**2)).sum().item() for part in parts)
