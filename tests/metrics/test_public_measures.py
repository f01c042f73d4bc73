"""`ndabench.metrics` for anybody's own features."""

import numpy as np
import pytest
import torch
from scipy import linalg

from ndabench.metrics import frechet_between


@pytest.mark.parametrize("count", [200, 6])
def test_the_frechet_distance_of_two_sets_of_features(count: int) -> None:
    """Against the formula with scipy's matrix root, for more and for fewer features than dimensions."""
    stream = torch.Generator().manual_seed(0)
    real = torch.randn(500, 8, generator=stream, dtype=torch.float64)
    fake = 0.5 * torch.randn(count, 8, generator=stream, dtype=torch.float64) + 1
    means = [one.numpy().mean(0) for one in (real, fake)]
    covariances = [np.cov(one.numpy().T) for one in (real, fake)]
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_between(real, fake) == pytest.approx(expected, rel=1e-5)
