"""Whether a generator copies its training images.

`memorization`: how often a generated image is closer to a training image than a held-out one is, over all
pairs of a generated and a held-out image; ties count half. A generator that draws from the data's
distribution has 0.5, one that copies 1. (The test of Meehan et al., AISTATS 2020, arXiv 2004.05675, is the
normalised form of this Mann-Whitney statistic.)

`auth_pct`: the percentage of generated images that are authentic (Alaa et al., ICML 2022, arXiv 2102.08921,
as in dgm-eval): further from their nearest training image than that one is from its nearest other.

Images far from all data, such as noise, have 0 and 100: read both with a distance.
"""

import torch
from torch import Tensor

from ndabench.metrics.generators.distances import nearest


def memorization(train: Tensor, held_out: Tensor, fake: Tensor) -> tuple[float, float]:
    """`memorization` in [0, 1] and `auth_pct` in [0, 100], of `[t, d]`, `[m, d]`, `[n, d]`, t ≥ 2."""
    fake_distances, closest = nearest(fake, train, 1)
    between_train, _ = nearest(train, train, 1, same=True)
    held_out_distances, _ = nearest(held_out, train, 1)
    authentic = (fake_distances > between_train[closest[:, 0]]).double().mean().item()
    ordered = held_out_distances.flatten().sort().values.contiguous()
    fake_distances = fake_distances.flatten().contiguous()
    below, upto = (torch.searchsorted(ordered, fake_distances, right=right) for right in (False, True))
    further = len(ordered) - (below + upto).double() / 2
    return further.mean().item() / len(ordered), 100 * authentic
