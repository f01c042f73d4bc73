"""Drawing the bundled moving digits: real handwritten digits (scikit-learn's) whose motion is the class.

A single frame says nothing about the class: in every frame of every class the digit's place is uniform on a
frame whose opposite edges are joined, its angle is uniform on the circle, and the logarithm of its size is
uniform between bounds (zooming wraps to the other bound). Only the change from frame to frame distinguishes
the classes. Reversing time turns each class into another one.

The set has the form of UCF-101: every class has 25 groups, each with a different digit, of a few clips that
differ in speed and start; the three official-style splits test on groups 1-7, 8-14 and 15-21.
"""

from math import log, pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CLASS_NAMES = (
    "MoveLeft", "MoveRight", "MoveUp", "MoveDown", "TurnLeft", "TurnRight", "ZoomIn", "ZoomOut",
)  # fmt: skip
VELOCITIES = torch.tensor(
    [[-1, 0, 0, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 1, 0, 0],
     [0, 0, -1, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, -1]], dtype=torch.float64
)  # fmt: skip
"""Of each class, in x (right), y (down), angle (clockwise) and logarithm of the size: `[8, 4]`."""
UNITS_A_SECOND = torch.tensor([1.0, 1.0, pi, log(2.0)], dtype=torch.float64)
"""Speed 1: per second one short side of the frame, half a turn, or a doubling."""
SLOWEST, FASTEST = 0.75, 1.5
SMALLEST, LARGEST = 0.3, 0.8
"""The digit's side as a share of the frame's short side."""
NUM_GROUPS = 25
TEST_GROUPS = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}
VIDEOS_AT_A_TIME = 32
"""Videos that are drawn together; drawing more at a time would only take more memory."""


class Motions(NamedTuple):
    """What each of N videos shows."""

    labels: Tensor
    """int64 `[N]`."""
    groups: Tensor
    """int64 `[N]`, 1..25 within a class."""
    clips: Tensor
    """int64 `[N]`, 1, 2, … within a group."""
    glyphs: Tensor
    """float32 `[N, 8, 8]` in [0, 1]."""
    starts: Tensor
    """float64 `[N, 4]`, each uniform in [0, 1): x, y, angle, size at time 0."""
    speeds: Tensor
    """float64 `[N]`."""


def draw_motions(clips_per_group: int, seed: int) -> Motions:
    """All videos, ordered by class, group and clip; groups of all classes show different pictures."""
    from sklearn.datasets import load_digits  # late: importing it takes a second, which only a first use pays

    generator = torch.Generator().manual_seed(seed)
    pictures = torch.from_numpy(load_digits().images.astype(np.float32) / 16)
    num_groups = len(CLASS_NAMES) * NUM_GROUPS
    chosen = torch.randperm(len(pictures), generator=generator)[:num_groups]
    labels, groups, clips = (
        axis.reshape(-1)
        for axis in torch.meshgrid(
            torch.arange(len(CLASS_NAMES)),
            torch.arange(1, NUM_GROUPS + 1),
            torch.arange(1, clips_per_group + 1),
            indexing="ij",
        )
    )
    drawn = torch.rand(len(labels), 5, generator=generator, dtype=torch.float64)
    return Motions(
        labels=labels,
        groups=groups,
        clips=clips,
        glyphs=pictures[chosen].repeat_interleave(clips_per_group, 0),
        starts=drawn[:, :4],
        speeds=SLOWEST + drawn[:, 4] * (FASTEST - SLOWEST),
    )


def render(motions: Motions, seconds: Tensor, height: int, width: int) -> Tensor:
    """The videos at the times `seconds` `[T]`, as grey uint8 `[N, T, height, width]`."""
    parts = torch.arange(len(motions.labels)).split(VIDEOS_AT_A_TIME)
    return torch.cat(
        [_render(Motions(*(f[rows] for f in motions)), seconds, height, width) for rows in parts]
    )


def _render(motions: Motions, seconds: Tensor, height: int, width: int) -> Tensor:
    poses = _poses(motions, seconds, height, width).float()
    x, y, angle, size = (pose[..., None, None] for pose in poses.unbind(-1))  # [N, T, 1, 1] each
    side = min(height, width)
    rows = (torch.arange(height) + 0.5)[:, None] / side
    columns = (torch.arange(width) + 0.5)[None, :] / side
    # Distances from the digit's centre, the short way across the joined edges.
    down = torch.remainder(rows - y + height / side / 2, height / side) - height / side / 2
    right = torch.remainder(columns - x + width / side / 2, width / side) - width / side / 2
    cos, sin = angle.cos(), angle.sin()
    across, along = (right * cos + down * sin) / (size / 2), (down * cos - right * sin) / (size / 2)
    grid = torch.stack([across, along], -1).flatten(1, 2)  # [N, T * height, width, 2], the glyph in [-1, 1]
    grey = functional.grid_sample(motions.glyphs[:, None], grid, align_corners=False)
    return (grey * 255).round().to(torch.uint8).view(len(motions.labels), len(seconds), height, width)


def _poses(motions: Motions, seconds: Tensor, height: int, width: int) -> Tensor:
    """x, y (in short sides), angle (radians) and size (a share of the short side), `[N, T, 4]`."""
    side = min(height, width)
    period = torch.tensor([width / side, height / side, 2 * pi, log(LARGEST / SMALLEST)], dtype=torch.float64)
    velocity = VELOCITIES[motions.labels] * UNITS_A_SECOND * motions.speeds[:, None]
    moved = motions.starts[:, None] * period + velocity[:, None] * seconds.double()[:, None]
    place = torch.remainder(moved, period)
    size = SMALLEST * place[..., 3:].exp()
    return torch.cat([place[..., :3], size], -1)
