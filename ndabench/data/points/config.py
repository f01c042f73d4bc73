"""The bundled data sets of points in the plane, each by the centres of its Gaussians. Nothing here imports
torch.

Every set is a mixture of isotropic Gaussians with equal weights, each cut off at `TRUNCATION` standard
deviations and renormalised: its density is known in closed form, and its support is a union of disks. Sets
along a curve (moons, rolls, pinwheels) have their Gaussians side by side on that curve.
"""

from abc import abstractmethod
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ndabench.config import Seed
from ndabench.data.config import DataSetConfig

TRUNCATION = 3.0
"""Standard deviations from its centre at which a Gaussian ends."""
WINDOW = 1.6
"""All data and most of what generators make lie in [-WINDOW, WINDOW]²; grids and pictures show this part."""


class Centers(NamedTuple):
    """Where the Gaussians of a set are."""

    positions: npt.NDArray[np.float64]
    """`[K, 2]`."""
    modes: npt.NDArray[np.int64]
    """`[K]`: the mode that each belongs to, from 0 on; a mode of a curve is a piece of it."""


class PointsConfig(DataSetConfig):
    """The keys that all sets of points share. Their points are a function of these keys."""

    std: float = Field(0.05, ge=1e-3, le=0.12)
    """The standard deviation of each Gaussian before it is cut off."""
    num_points: int = Field(50_000, ge=100, le=10**7)
    """Training points; validation and test have a tenth as many each."""
    seed: Seed = 0

    @abstractmethod
    def centers(self) -> Centers:
        """The centres of the Gaussians, at most 1.3 from the origin."""


class RingConfig(PointsConfig):
    """Gaussians on the unit circle, evenly spaced; with eight of them the field's usual first test of a GAN
    (Metz et al., arXiv 1611.02163)."""

    name: Literal["ring"] = "ring"
    num_modes: int = Field(8, ge=2, le=16)

    def centers(self) -> Centers:
        number = np.arange(self.num_modes)
        angles = 2 * np.pi * (number + 0.5) / self.num_modes
        return Centers(_polar(np.ones(self.num_modes), angles), number)


class GridConfig(PointsConfig):
    """`side` × `side` Gaussians on [-0.9, 0.9]²."""

    name: Literal["grid"] = "grid"
    std: float = Field(0.03, ge=1e-3, le=0.12)
    side: int = Field(5, ge=2, le=9)

    def centers(self) -> Centers:
        line = np.linspace(-0.9, 0.9, self.side)
        x, y = np.meshgrid(line, line)
        return Centers(np.stack([x.ravel(), y.ravel()], 1), np.arange(self.side**2))


class TwoMoonsConfig(PointsConfig):
    """Two half circles that reach into each other; each has eight pieces that count as modes."""

    name: Literal["two_moons"] = "two_moons"
    std: float = Field(0.04, ge=1e-3, le=0.12)

    def centers(self) -> Centers:
        angles = np.linspace(0, np.pi, 32)
        upper = np.stack([np.cos(angles), np.sin(angles)], 1)
        moons = np.concatenate([upper, [1, 0.5] - upper])
        return Centers(0.7 * (moons - [0.5, 0.25]), np.arange(64) // 4)


class SwissRollConfig(PointsConfig):
    """A spiral of one and a half turns, in sixteen pieces of one length that count as modes."""

    name: Literal["swiss_roll"] = "swiss_roll"
    std: float = Field(0.03, ge=1e-3, le=0.12)

    def centers(self) -> Centers:
        turn = np.linspace(1.5 * np.pi, 4.5 * np.pi, 4001)
        length = np.concatenate([[0], np.cumsum(np.sqrt(1 + turn[1:] ** 2))])
        angles = np.interp(np.linspace(0, length[-1], 128), length, turn)
        return Centers(_polar(angles / angles[-1], angles), np.arange(128) // 8)


class PinwheelConfig(PointsConfig):
    """Five curved blades, each in three pieces that count as modes."""

    name: Literal["pinwheel"] = "pinwheel"
    std: float = Field(0.04, ge=1e-3, le=0.12)

    def centers(self) -> Centers:
        radius = np.tile(np.linspace(0.35, 1.1, 18), 5)
        blade = np.repeat(np.arange(5), 18)
        angles = 2 * np.pi * blade / 5 + 1.2 * (radius - 0.35)
        return Centers(_polar(radius, angles), np.arange(90) // 6)


def _polar(radius: npt.NDArray[np.float64], angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1)
