"""How many outputs of a trial's negative are none, on the trial's own data.

NDA's theorem needs negatives outside the data. Whether they are also depends on the data: a box of background
over background changes nothing. So it is measured: `--check` and the preview print it, and every trial
records it at its start, from which the report makes a table. Of images and clips, outputs that equal their
inputs are counted; of points, whose distribution is known, those in its support.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ndabench.augmentations.changes import NEARLY, ChangeShares, change_shares
from ndabench.augmentations.compose import Augmentation
from ndabench.data.images import to_float
from ndabench.data.points.load import PointData
from ndabench.data.videos.clips import ClipData, ClipRequest
from ndabench.measurement import (
    NEGATIVES_EQUAL,
    NEGATIVES_INSIDE,
    NEGATIVES_NEARLY_EQUAL,
    Measurement,
)
from ndabench.tasks.contrastive.view_pairs import at_size
from ndabench.tasks.definition import TaskConfig
from ndabench.tasks.registry import build_negative
from ndabench.trials.config import TrialConfig

MOST_IMAGES, MOST_CLIPS, MOST_POINTS = 512, 8, 10_000
MOST_VALUES = 2**25
"""Of a sample, some 200 MiB in floats: as many images as that allows."""


@dataclass(frozen=True)
class SupportShare:
    """How many outputs of a negative lie in the support of the data, on a sample of points."""

    count: int
    inside: float

    def __str__(self) -> str:
        return f"{self.inside:.1%} of {self.count} outputs lie in the support of the data"


Shares = ChangeShares | SupportShare


def negative_changes(trial: TrialConfig, data: Any) -> Shares:
    """The shares of the trial's negative, which it must have; see `shares_on`."""
    negative = build_negative(trial.task, trial.negative, data)
    assert negative is not None
    return shares_on(data, trial.task, negative)


def shares_on(data: Any, task: TaskConfig, negative: Augmentation) -> Shares:
    """The shares of `negative` on training images, clips or points of `data`, as large as the task shows
    them.

    The sample and the draws have their own fixed seed: training is as it would be without.
    """
    if isinstance(data, PointData):
        points = data.train.points[:MOST_POINTS]
        output = negative(points, generator=torch.Generator(points.device).manual_seed(0))
        return SupportShare(len(points), float(data.distribution.inside(output).double().mean()))
    images = sample_of(data, task)
    stream = torch.Generator(images.device).manual_seed(0)
    return change_shares(negative, images, generator=stream)


def measured(shares: Shares) -> Mapping[str, Measurement]:
    """The shares as a trial records them."""
    if isinstance(shares, SupportShare):
        return {NEGATIVES_INSIDE: Measurement(shares.inside, protocol={"outputs": shares.count})}
    protocol = {"outputs": shares.count, "nearly_equal_below": NEARLY}
    return {
        NEGATIVES_EQUAL: Measurement(shares.equal, protocol=protocol),
        NEGATIVES_NEARLY_EQUAL: Measurement(shares.nearly_equal, protocol=protocol),
    }


def sample_of(data: Any, task: TaskConfig) -> Tensor:
    """Float images `[N, C, H, W]` in [-1, 1], or clips, of the training split; N ≥ 2 where it has as many."""
    is_clips = isinstance(data, ClipData)
    shape = task.shown_shape(data.frame_shape if is_clips else data.image_shape)
    count = min(MOST_CLIPS if is_clips else MOST_IMAGES, max(2, MOST_VALUES // math.prod(shape)))
    rows = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[:count]
    if is_clips:
        frames, lengths = shape[-3], data.train.num_frames
        strides = {row: max((lengths[row] - 1) // max(frames - 1, 1), 1) for row in rows.tolist()}
        wanted = [ClipRequest(row, 0, frames, stride) for row, stride in strides.items()]
        images, _ = next(iter(data.train.clips([wanted])))
    else:
        images, _ = next(iter(data.train.batches([rows])))
    square = shape[-1] if shape[-1] == shape[-2] else None
    return at_size(to_float(images), square)
