"""A mixture of isotropic Gaussians in the plane, each cut off at three standard deviations.

Its density, its support and its mass in any region are known, so that what a generator makes can be compared
with the distribution itself instead of a sample of it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ndabench.data.points.config import TRUNCATION

KEPT = 1 - math.exp(-(TRUNCATION**2) / 2)
"""The mass of a Gaussian in the plane within `TRUNCATION` standard deviations."""
CHUNK = 2**22
"""Distances computed at once."""
EXACT = "donot_use_mm_for_euclid_dist"
"""How distances are computed: by products of matrices they would lose half of their digits."""


@dataclass(frozen=True)
class TruncatedMixture:
    """p(x) = Σ_k w_k N(x; c_k, s_k²)/KEPT, of which a Gaussian's part ends where |x − c_k| > TRUNCATION·s_k.

    All tensors are float64, on one device.
    """

    centers: Tensor
    """`[K, 2]`."""
    stds: Tensor
    """`[K]`."""
    weights: Tensor
    """`[K]`, positive, with sum 1."""

    @property
    def radii(self) -> Tensor:
        """`[K]`: the radius of each Gaussian's disk."""
        return TRUNCATION * self.stds

    def density(self, points: Tensor) -> Tensor:
        """float64 `[N]` at points `[N, 2]`."""
        return self._in_chunks(points, lambda chunk: self.parts(chunk[None]).sum(0))

    def parts(self, points: Tensor) -> Tensor:
        """`[K, N]`: what each Gaussian adds to the density at its points, float64 `[K, N, 2]` (or
        `[1, N, 2]`, the same for all)."""
        squared = ((points - self.centers[:, None]) / self.stds[:, None, None]).square().sum(2)
        peaks = self.weights / (2 * math.pi * self.stds**2 * KEPT)
        return peaks[:, None] * torch.exp(-squared / 2) * (squared <= TRUNCATION**2)

    def inside(self, points: Tensor) -> Tensor:
        """bool `[N]`: whether each of the points `[N, 2]` lies in the support."""
        return self._in_chunks(points, lambda chunk: (self._depths(chunk) <= 0).any(1))

    def nearest(self, points: Tensor) -> Tensor:
        """int64 `[N]`: the Gaussian whose disk each point lies in most deeply, or is nearest to."""
        return self._in_chunks(points, lambda chunk: self._depths(chunk).argmin(1))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """float32 `[count, 2]` on the generator's device, by the inverse of the radius' distribution."""
        uniform = torch.rand(3, count, generator=generator, device=generator.device)
        cumulative, centers, stds = self._float32
        chosen = torch.bucketize(uniform[0], cumulative)
        radius = (-2 * torch.log1p(-KEPT * uniform[1])).sqrt() * stds[chosen]
        angle = 2 * math.pi * uniform[2]
        return centers[chosen] + radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)

    def to(self, device: torch.device) -> "TruncatedMixture":
        return TruncatedMixture(self.centers.to(device), self.stds.to(device), self.weights.to(device))

    def restricted(self, chosen: Tensor) -> "TruncatedMixture":
        """The Gaussians that are `chosen` (bool `[K]`), with weights that sum to 1 again."""
        weights = self.weights[chosen]
        return TruncatedMixture(self.centers[chosen], self.stds[chosen], weights / weights.sum())

    def mixed(self, other: "TruncatedMixture", share: float) -> "TruncatedMixture":
        """(1 − share)·self + share·other, `share` in [0, 1]."""
        if share == 0:
            return self
        if share == 1:
            return other
        return TruncatedMixture(
            torch.cat([self.centers, other.centers]),
            torch.cat([self.stds, other.stds]),
            torch.cat([(1 - share) * self.weights, share * other.weights]),
        )

    @cached_property
    def _float32(self) -> tuple[Tensor, Tensor, Tensor]:
        """The inner edges of the cumulative weights, and centres and deviations, for `sample`."""
        return self.weights.cumsum(0)[:-1].float(), self.centers.float(), self.stds.float()

    def _depths(self, points: Tensor) -> Tensor:
        """`[N, K]`: how far each point is outside each disk; negative inside."""
        return torch.cdist(points, self.centers, compute_mode=EXACT) - self.radii

    def _in_chunks(self, points: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        chunks = points.double().split(max(1, CHUNK // len(self.weights)))
        return torch.cat([compute(chunk) for chunk in chunks])
