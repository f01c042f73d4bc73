"""An image encoder to be measured: the features that it computes from the images of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from ndabench.data.config import SplitName
from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.features import Examples, backbone_features
from ndabench.metrics.image_encoders.config import STORED_FEATURES
from ndabench.metrics.subjects import IMAGE_ENCODER, SharedWork


@dataclass
class ImageEncoderSubject:
    """A frozen encoder, and the data set whose images it is measured on."""

    kind: ClassVar[str] = IMAGE_ENCODER

    encoder: nn.Module
    """Float images in [-1, 1], `[N, C, H, W]`, to `[N, d]`; it has `dimension` d. See `features.py`."""
    data: ImageData
    seed: int
    workers: Workers = field(default_factory=Workers)
    shared: SharedWork = field(default_factory=SharedWork)

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        """Nothing to plan."""

    def features(self, split: SplitName) -> Tensor:
        """float32 `[len(split), d]` of the images as they are stored, on the workers' device."""
        extract = partial(backbone_features, self.encoder, getattr(self.data, split), self.workers)
        return self.shared.get(STORED_FEATURES, split, extract)

    def examples(self, *splits: SplitName) -> Examples:
        """The features and labels of `splits`, concatenated."""
        features = torch.cat([self.features(split) for split in splits])
        labels = torch.cat([getattr(self.data, split).labels for split in splits])
        return Examples(features, labels.to(self.workers.device))
