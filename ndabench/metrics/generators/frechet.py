"""The Fréchet distance between two sets of features (Heusel et al., NeurIPS 2017, arXiv 1706.08500).

    FD = ‖μ − μ_r‖² + Tr Σ + Tr Σ_r − 2 Tr((Σ_r Σ)^½)

between the Gaussians with the means and covariances (n − 1 in the denominator) of the samples' features and
of the reference's. With Inception-v3 features it is the FID. All of it is float64: in float32 the trace term
is wrong by several per cent.

The product Σ_r Σ is not symmetric, but has the eigenvalues of R Σ R with R = Σ_r^½, which is. R belongs to
the reference and is computed once; after that a distance costs one symmetric eigenvalue problem.

    >>> real, fake = torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]])
    >>> reference = FrechetReference.of(moments_of(real).gaussian())
    >>> frechet_distance(reference, moments_of(fake).gaussian())  # the same spread, means 3 apart
    9.0
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ndabench.distributed import Workers
from ndabench.errors import UserError


@dataclass(frozen=True)
class Gaussian:
    """The mean `[d]` and covariance `[d, d]` of a set of features, float64: all that the distance needs."""

    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class FrechetReference:
    """A Gaussian to measure distances from, with the symmetric root of its covariance, `[d, d]`, float64."""

    gaussian: Gaussian
    root: Tensor

    @classmethod
    def of(cls, gaussian: Gaussian) -> "FrechetReference":
        return cls(gaussian, symmetric_root(gaussian.covariance))


class Moments:
    """The running sums n, Σf and Σffᵀ of features that come in batches, on one worker or several."""

    def __init__(self, dimension: int, device: torch.device) -> None:
        self._count = torch.zeros((), dtype=torch.float64, device=device)
        self._sum = torch.zeros(dimension, dtype=torch.float64, device=device)
        self._outer = torch.zeros(dimension, dimension, dtype=torch.float64, device=device)

    def update(self, features: Tensor) -> None:
        """Adds features `[n, d]` of any float type."""
        exact = features.to(torch.float64)
        self._count += len(exact)
        self._sum += exact.sum(0)
        self._outer.addmm_(exact.T, exact)

    def all_reduce(self, workers: Workers) -> None:
        """Replaces the sums by those over all workers; call it once, after the last `update`."""
        for part in (self._count, self._sum, self._outer):
            workers.all_reduce_sum(part)

    def gaussian(self, images: str = "images") -> Gaussian:
        """Raises `UserError`, which says whose features these are, for fewer than two or one that is not
        finite."""
        count = int(self._count.item())
        if count < 2:
            raise UserError(f"a Fréchet distance needs at least 2 {images}, got {count}")
        if not torch.isfinite(self._outer).all():
            raise UserError(
                f"a Fréchet distance needs finite features; among those of {count} {images} some are not"
            )
        mean = self._sum / count
        return Gaussian(mean, (self._outer - count * mean.outer(mean)) / (count - 1))


def moments_of(features: Tensor, chunk_size: int = 4096) -> Moments:
    """The moments of features `[n, d]`, taken to float64 `chunk_size` rows at a time."""
    moments = Moments(features.shape[1], features.device)
    for chunk in features.split(chunk_size):
        moments.update(chunk)
    return moments


def frechet_distance(reference: FrechetReference, gaussian: Gaussian) -> float:
    """The distance by the symmetric eigenvalues of R Σ R; rounding never takes it below zero."""
    eigenvalues = torch.linalg.eigvalsh(reference.root @ gaussian.covariance @ reference.root)
    return _distance(reference, gaussian, eigenvalues.clamp_min(0).sqrt().sum())


def frechet_distance_of_features(reference: FrechetReference, features: Tensor) -> float:
    """The same distance for features `[n, d]` with n < d, whose Σ has no full rank.

    With X the centred features, Σ = XᵀX / (n − 1), so that the roots of R Σ R's eigenvalues are the singular
    values of X R / √(n − 1): n of them instead of d, and none lost to rounding under the square root.
    """
    gaussian = moments_of(features).gaussian("generated images")
    centred = features.to(torch.float64) - gaussian.mean
    singular_values = torch.linalg.svdvals(centred @ reference.root / (len(features) - 1) ** 0.5)
    return _distance(reference, gaussian, singular_values.sum())


def frechet_between(real: Tensor, fake: Tensor) -> float:
    """The distance between features `[m, d]` and `[n, d]`, m, n ≥ 2, in the form that suits n."""
    return distance_from(FrechetReference.of(moments_of(real).gaussian("real images")), fake)


def distance_from(reference: FrechetReference, features: Tensor) -> float:
    """The distance of features `[n, d]`, n ≥ 2, in the form that suits n."""
    if len(features) < features.shape[1]:
        return frechet_distance_of_features(reference, features)
    return frechet_distance(reference, moments_of(features).gaussian("generated images"))


def symmetric_root(covariance: Tensor) -> Tensor:
    """The symmetric positive semi-definite R with R R = `covariance`, `[d, d]`."""
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    return (vectors * eigenvalues.clamp_min(0).sqrt()) @ vectors.T


def _distance(reference: FrechetReference, gaussian: Gaussian, root_trace: Tensor) -> float:
    between_means = (gaussian.mean - reference.gaussian.mean).square().sum()
    traces = gaussian.covariance.trace() + reference.gaussian.covariance.trace()
    return max(0.0, (between_means + traces - 2 * root_trace).item())
