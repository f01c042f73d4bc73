"""A set of points as a task sees it: three samples of a distribution that is known exactly."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ndabench.data.points.config import PointsConfig
from ndabench.data.points.mixture import TruncatedMixture

HELD_OUT = 0.1
"""Points of the validation and of the test split, as a share of the training points."""


@dataclass(frozen=True)
class PointSplit:
    """Points float32 `[N, 2]` and the mode of each, int64 `[N]`, on the training device."""

    points: Tensor
    modes: Tensor

    @property
    def labels(self) -> Tensor:
        """The modes, on the CPU, by the name that data sets of images have for theirs."""
        return self.modes.cpu()

    def __len__(self) -> int:
        return len(self.points)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """For every CPU int64 index tensor `[B]`: (float32 `[B, 2]`, int64 `[B]`)."""
        for index in index_batches:
            there = index.to(self.points.device, non_blocking=True)
            yield self.points[there], self.modes[there]


@dataclass(frozen=True)
class PointData:
    """Points to train on, and the distribution that they were drawn from."""

    name: str
    content_hash: str
    """Hex digest of the points, the distribution and its modes; the same everywhere."""
    class_names: tuple[str, ...]
    """The names of the modes."""
    distribution: TruncatedMixture
    modes: Tensor
    """int64 `[K]`: the mode of each of the distribution's Gaussians."""
    train: PointSplit
    validation: PointSplit
    test: PointSplit
    notes: tuple[str, ...] = ()

    image_shape: ClassVar[tuple[int, ...]] = (2,)
    """The shape of a point, by the name that data sets of images have for theirs."""

    @property
    def mode_masses(self) -> Tensor:
        """float64 `[modes]`: the probability of each mode."""
        return self.distribution.weights.new_zeros(len(self.class_names)).index_add_(
            0, self.modes, self.distribution.weights
        )


def load_points(config: PointsConfig, *, device: torch.device) -> PointData:
    """The set, ready on `device`."""
    positions, modes = (torch.from_numpy(part) for part in config.centers())
    count = len(positions)
    distribution = TruncatedMixture(
        positions,
        torch.full((count,), config.std, dtype=positions.dtype),
        torch.full((count,), 1 / count, dtype=positions.dtype),
    )
    held_out = round(config.num_points * HELD_OUT)
    sizes = (config.num_points, held_out, held_out)
    seed = int(np.random.SeedSequence(config.seed).generate_state(1, np.uint64)[0] >> 1)
    points = distribution.sample(sum(sizes), torch.Generator().manual_seed(seed))
    labels = modes[distribution.nearest(points)]
    digest = hashlib.sha256()
    for part in (positions, modes, distribution.stds, points):
        digest.update(part.numpy().tobytes())
    splits = zip(points.to(device).split(sizes), labels.to(device).split(sizes), strict=True)
    train, validation, test = (PointSplit(*split) for split in splits)
    return PointData(
        config.title,
        digest.hexdigest(),
        tuple(f"mode {number}" for number in range(int(modes.max()) + 1)),
        distribution.to(device),
        modes.to(device),
        train,
        validation,
        test,
    )
