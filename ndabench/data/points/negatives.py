"""Negatives for points: distributions P̄ that are known exactly and lie outside the data, or partly inside.

Each is a mixture of Gaussians cut off at three standard deviations, placed by a rule around the data's own.
Without `overlap` every disk of P̄ is disjoint from the data's support, as the theorem of docs/theory.md
demands. With it that share of the negatives comes from the data: `overlap_with: all` draws it from all of
them, in proportion to their density, as a flip of natural images does; `half` draws it from the modes to the
right.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import Delaunay
from torch import Tensor

from ndabench.data.points.load import PointData
from ndabench.data.points.mixture import TruncatedMixture
from ndabench.errors import UserError

Overlap = Literal["half", "all"]
Positions = npt.NDArray[np.float64]

FILLS = 0.9
"""A negative's disk takes this share of the way to the data's support, so that the two never touch."""
SMALLEST = 0.2
"""Disks smaller than this share of the data's largest one are left out."""


class PointNegative:
    """Replaces each point by a draw from a fixed distribution."""

    def __init__(self, distribution: TruncatedMixture) -> None:
        self.distribution = distribution

    def __call__(self, images: Tensor, *, generator: torch.Generator) -> Tensor:
        """As many points `[N, 2]` as were given, in their type."""
        return self.distribution.sample(len(images), generator).to(images.dtype)


def between(data: PointData, overlap: float = 0.0, overlap_with: Overlap = "half") -> PointNegative:
    """Halfway between neighbouring parts of the data.

    Two Gaussians are neighbours where no third is as near to the middle of the line between them (Gabriel).
    """
    return _negative(data, "between", _gabriel_middles, overlap, overlap_with)


def hole(data: PointData, overlap: float = 0.0, overlap_with: Overlap = "half") -> PointNegative:
    """In the largest disks that fit between the data: the middle of a ring, the cells of a grid."""
    return _negative(data, "hole", _largest_holes, overlap, overlap_with, grow=True)


def around(data: PointData, overlap: float = 0.0, overlap_with: Overlap = "half") -> PointNegative:
    """On a circle around all data."""
    return _negative(data, "around", _surrounding_circle, overlap, overlap_with)


def wrong_side(data: PointData, overlap: float = 0.0, overlap_with: Overlap = "half") -> PointNegative:
    """The right half of the data, mirrored to the other side of its right edge."""
    return _negative(data, "wrong_side", _mirrored_half, overlap, overlap_with)


def _negative(
    data: PointData,
    name: str,
    place: Callable[[Positions, float], Positions],
    overlap: float,
    overlap_with: Overlap,
    *,
    grow: bool = False,
) -> PointNegative:
    """Gaussians at the positions that `place` finds for the data's centres and radius.

    Their disks are as large as the data's where there is room, and larger if they may `grow`. Raises
    `UserError` where no disk of any size worth mentioning is disjoint from the data.
    """
    if not 0 <= overlap <= 1:
        raise UserError(f"{name}: overlap must lie in [0, 1], got {overlap:g}")
    own = data.distribution
    radius = float(own.radii.max())
    places = torch.from_numpy(place(own.centers.cpu().numpy(), radius).reshape(-1, 2)).to(own.centers.device)
    clearance = FILLS * (torch.cdist(places, own.centers) - own.radii).amin(1)
    radii = clearance if grow else clearance.clamp(max=radius)
    kept = radii > SMALLEST * radius
    if not kept.any():
        raise UserError(f"{name}: no negative fits outside {data.name}; make its std smaller")
    stds = radii[kept] * (own.stds.max() / radius)
    outside = TruncatedMixture(places[kept], stds, torch.full_like(stds, 1 / len(stds)))
    inside = own if overlap_with == "all" else own.restricted(right_half(data))
    return PointNegative(outside.mixed(inside, overlap))


def right_half(data: PointData) -> Tensor:
    """bool `[K]`: the Gaussians of the modes that lie to the right of the median mode."""
    number = len(data.class_names)
    sums = torch.zeros(number, dtype=torch.float64, device=data.modes.device)
    x = sums.index_add(0, data.modes, data.distribution.centers[:, 0])
    x = x / data.modes.bincount(minlength=number)
    return (x > x.median() + 1e-9)[data.modes]


def _gabriel_middles(centers: Positions, radius: float) -> Positions:
    first, second = np.triu_indices(len(centers), 1)
    middles = (centers[first] + centers[second]) / 2
    half = np.linalg.norm(centers[first] - centers[second], axis=1) / 2
    distances = np.linalg.norm(middles[:, None] - centers, axis=2)
    return middles[(distances < half[:, None] + 1e-9).sum(1) == 2]


def _largest_holes(centers: Positions, radius: float) -> Positions:
    """The centres of the largest empty circles through three of the data's centres, inside their hull."""
    triangulation = Delaunay(centers)
    corners = centers[triangulation.simplices]
    a, b, c = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    doubled = 2 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])  # four times the area of each triangle
    square_b, square_c = (b**2).sum(1), (c**2).sum(1)
    middles = a + np.stack(
        [
            (c[:, 1] * square_b - b[:, 1] * square_c) / doubled,
            (b[:, 0] * square_c - c[:, 0] * square_b) / doubled,
        ],
        1,
    )
    size = np.sqrt(((middles - a) ** 2).sum(1))
    middles, size = (part[triangulation.find_simplex(middles) >= 0] for part in (middles, size))
    return np.unique(middles[size > 0.9 * size.max()].round(6), axis=0)


def _surrounding_circle(centers: Positions, radius: float) -> Positions:
    distance = np.linalg.norm(centers, axis=1).max() + 3 * radius
    angles = np.arange(24) * 2 * np.pi / 24
    return distance * np.stack([np.cos(angles), np.sin(angles)], 1)


def _mirrored_half(centers: Positions, radius: float) -> Positions:
    right = centers[centers[:, 0] > np.median(centers[:, 0])]
    edge = centers[:, 0].max() + 1.5 * radius
    return np.stack([2 * edge - right[:, 0], right[:, 1]], 1)
