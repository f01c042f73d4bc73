"""Precision, recall, density and coverage: the supports of two sets of features, as unions of balls.

Each vector's ball reaches to its k-th nearest neighbour in its own set. Precision is the share of generated
vectors in a real ball, recall the share of real ones in a generated ball (Kynkäänniemi et al., NeurIPS 2019,
arXiv 1904.06991, k = 3). Density counts in how many real balls a generated vector lies, divided by k, and
coverage is the share of real balls that hold a generated vector (Naeem et al., ICML 2020, arXiv 2002.09797,
k = 5).
"""

import torch
from torch import Tensor

from ndabench.metrics.generators.distances import nearest, squared_distances


def precision_recall(real: Tensor, fake: Tensor, *, k: int) -> tuple[float, float]:
    """Of features `[m, d]` and `[n, d]` with m, n > k; both values lie in [0, 1]."""
    real_radii, fake_radii = (nearest(one, one, k, same=True)[0][:, -1].square() for one in (real, fake))
    precise = 0
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for rows, squared in squared_distances(fake, real):
        precise += int((squared <= real_radii).any(1).sum())
        recalled |= (squared <= fake_radii[rows, None]).any(0)
    return precise / len(fake), recalled.float().mean().item()


def density_coverage(real: Tensor, fake: Tensor, *, k: int) -> tuple[float, float]:
    """Of features `[m, d]` and `[n, d]` with m > k; density may exceed 1, coverage lies in [0, 1]."""
    radii = nearest(real, real, k, same=True)[0][:, -1].square()
    inside = 0
    covered = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for _, squared in squared_distances(fake, real):
        within = squared < radii
        inside += int(within.sum())
        covered |= within.any(0)
    return inside / (k * len(fake)), covered.float().mean().item()
