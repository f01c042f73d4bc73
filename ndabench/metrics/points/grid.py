"""Histograms of points in the plane, compared with the exact masses of a distribution."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ndabench.data.points.config import WINDOW
from ndabench.data.points.mixture import TruncatedMixture

INTEGRATED = 512
"""Points along each side of the window at which a density is integrated, at least."""


@dataclass(frozen=True)
class Grid:
    """`bins` × `bins` equal cells of [-WINDOW, WINDOW]², and one more cell for the rest of the plane."""

    bins: int

    @property
    def cell_area(self) -> float:
        return (2 * WINDOW / self.bins) ** 2

    def cells(self, points: Tensor) -> Tensor:
        """int64 `[N]`: the cell of each of the points `[N, 2]`, `bins`² for the rest of the plane."""
        place = ((points.double() + WINDOW) / (2 * WINDOW) * self.bins).floor()
        within = ((place >= 0) & (place < self.bins)).all(1)
        place = place.nan_to_num().clamp(0, self.bins - 1).long()
        return torch.where(within, place[:, 0] * self.bins + place[:, 1], self.bins**2)

    def shares(self, points: Tensor) -> Tensor:
        """float64 `[bins² + 1]`: the share of the points in each cell."""
        return self.cells(points).bincount(minlength=self.bins**2 + 1).double() / len(points)

    def masses(self, distribution: TruncatedMixture) -> Tensor:
        """float64 `[bins² + 1]`: the distribution's mass in each cell, by the midpoint rule on a finer grid.

        Masses are scaled to sum 1, which corrects an error of the rule below 1e-3.
        """
        per_cell = -(-INTEGRATED // self.bins)
        step = 2 * WINDOW / (self.bins * per_cell)
        reach = int(distribution.radii.max() / step) + 2
        line = torch.arange(-reach, reach + 1, device=distribution.centers.device)
        nearest = ((distribution.centers + WINDOW) / step).floor().long()
        places = nearest[:, None] + torch.cartesian_prod(line, line)  # [K, M, 2], around each Gaussian
        mass = distribution.parts((places + 0.5) * step - WINDOW).flatten()
        cell = places.flatten(0, 1).div(per_cell, rounding_mode="floor")
        within = ((cell >= 0) & (cell < self.bins)).all(1)
        cell_index = torch.where(within, cell[:, 0] * self.bins + cell[:, 1], self.bins**2)
        return mass.new_zeros(self.bins**2 + 1).index_add_(0, cell_index, mass) / mass.sum()


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """½ Σ|p − q| of two discrete distributions `[M]`, in [0, 1]."""
    return (p - q).abs().sum() / 2


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """The Jensen-Shannon divergence of two discrete distributions `[M]`, in bits, in [0, 1]."""
    middle = (p + q) / 2
    return (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2


def _relative_entropy(p: Tensor, q: Tensor) -> Tensor:
    seen = p > 0
    return (p[seen] * (p[seen] / q[seen]).log2()).sum()
