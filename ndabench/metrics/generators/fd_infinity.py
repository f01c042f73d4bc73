"""The Fréchet distance of infinitely many samples (Chong and Forsyth, CVPR 2020, arXiv 1911.07023).

The distance of N samples is biased by about c / N. It is measured at `num_points` sizes N, evenly spaced,
each on a new random subset, and a line is fitted over 1 / N: its value at 0 is the result.
"""

import numpy as np
import torch
from torch import Generator, Tensor

from ndabench.metrics.generators.frechet import FrechetReference, distance_from


def fd_infinity(
    reference: FrechetReference, features: Tensor, *, smallest: int, num_points: int, generator: Generator
) -> tuple[float, float]:
    """The intercept, which may be negative, and the slope over 1 / N, of `[n, d]`, n > `smallest`."""
    sizes = np.linspace(smallest, len(features), num_points).astype(int)
    distances = [distance_from(reference, _subset(features, int(size), generator)) for size in sizes]
    slope, intercept = np.polyfit(1 / sizes, distances, 1)
    return float(intercept), float(slope)


def _subset(features: Tensor, size: int, generator: Generator) -> Tensor:
    return features[torch.randperm(len(features), generator=generator)[:size].to(features.device)]
