"""The kernel distance between two sets of features (Bińkowski et al., ICLR 2018, arXiv 1801.01401).

With Inception-v3 features it is the KID. The protocol is the authors': the mean over subsets of equal size,
drawn without replacement from either side, of the unbiased estimate of MMD² under the cubic kernel.
"""

import torch
from torch import Generator, Tensor


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """k(x, y) = (xᵀy / d + 1)³ for all pairs, `[m, d], [n, d] -> [m, n]`."""
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def unbiased_mmd2(x: Tensor, y: Tensor) -> Tensor:
    """Σ_{i≠j} k(x_i, x_j) / m(m−1) + Σ_{i≠j} k(y_i, y_j) / n(n−1) − 2 Σ_{i,j} k(x_i, y_j) / mn.

    Takes `[m, d], [n, d]` with m, n ≥ 2 and gives a scalar, which may be negative.
    """
    within_x, within_y = (_mean_off_diagonal(polynomial_kernel(z, z)) for z in (x, y))
    return within_x + within_y - 2 * polynomial_kernel(x, y).mean()


def kernel_distance(
    reference: Tensor, features: Tensor, *, num_subsets: int, subset_size: int, generator: Generator
) -> tuple[float, float]:
    """Mean and standard deviation of MMD² over random subsets of `[m, d]` and `[n, d]`, in float64.

    `subset_size` is at least 2 and at most m and n; `generator` lives on the CPU.
    """

    def subset(rows: Tensor) -> Tensor:
        return rows[torch.randperm(len(rows), generator=generator)[:subset_size].to(rows.device)].to(
            torch.float64
        )

    estimates = torch.stack([unbiased_mmd2(subset(reference), subset(features)) for _ in range(num_subsets)])
    return estimates.mean().item(), estimates.std(correction=0).item()


def _mean_off_diagonal(kernel: Tensor) -> Tensor:
    return (kernel.sum() - kernel.trace()) / (len(kernel) * (len(kernel) - 1))
