"""`dpc_finetune`: action recognition by fine-tuning all layers, as DPC's authors do (Han et al., arXiv
1909.04656; their `eval/test.py` and `eval/model_3d_lc.py`).

A copy of the features module goes through batch norm, dropout and a linear layer (weights orthogonal, bias
0), and all of it learns by cross-entropy from one random clip of each training video an epoch, cropped to
half to all of the frame, mirrored and at times jittered. Adam at 1e-3 with L2 decay of 1e-3 in batches of
128; the rate falls to a tenth after 60 epochs and again after 80 (their UCF-101 schedule, which goes on after
epoch 100 at rates too small to matter). It is tested on windows that overlap by half over the whole of every
video (theirs on HMDB-51 by a quarter), their softmax averaged.

Unlike theirs: no epoch is chosen (they choose on a sample of the test list), short videos are neither left
out of the training nor of the test, and validation videos are held out of the training list, unless `refit`
lets what is tested learn from them, too. Their option of a tenth of the rate for the pre-trained layers looks
for names that these do not have, and so never applies; `backbone_rate: 0.1` does it.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator

from ndabench.augmentations.clip_views import ClipViews
from ndabench.augmentations.views import Views
from ndabench.data.videos.clips import ClipData
from ndabench.errors import UserError
from ndabench.metrics.video_scores import ClassifierConfig


class DpcFinetuneConfig(ClassifierConfig):
    """`dpc_finetune`: as published, it costs 100 epochs of training the whole network."""

    name: Literal["dpc_finetune"] = "dpc_finetune"
    num_epochs: int = Field(100, ge=1)
    batch_size: int = Field(128, ge=2)
    """Clips in a step, of all workers together."""
    learning_rate: float = Field(1e-3, gt=0)
    backbone_rate: float = Field(1.0, ge=0)
    """The learning rate of the pre-trained layers, as a share of that of the new ones."""
    drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.6, 0.8)
    """Shares of the epochs after which the learning rate is divided by ten. On HMDB-51 the authors divide
    after 150, 250 and 300 epochs."""
    weight_decay: float = Field(1e-3, ge=0)
    dropout: float = Field(0.5, ge=0, lt=1)
    """Before the last layer. The authors found 0.9 better later (issue 5 of their repository MemDPC)."""
    crop_scale: tuple[float, float] = (0.5, 1.0)
    """Share of a frame's area that a crop covers."""
    flip: float = Field(0.5, ge=0, le=1)
    """Probability of a mirrored clip; 0 where directions are the classes."""
    jitter: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.25)
    """Strengths of brightness, contrast, saturation and hue, alike on all frames of a clip."""
    jitter_probability: float = Field(0.3, ge=0, le=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the training, bf16 on GPUs only; it is tested in fp32."""
    refit: bool = False
    """Whether what is tested has learned from training and validation videos, in a training of its own; else
    it is what was validated."""

    @model_validator(mode="after")
    def _can_be_drawn(self) -> "DpcFinetuneConfig":
        self.views(None)
        return self

    def views(self, size: int | None) -> ClipViews:
        """Those that are learned from, `size` × `size` pixels; None: as large as the frames."""
        views = Views(
            size=size,
            crop_scale=self.crop_scale,
            flip=self.flip,
            jitter=self.jitter,
            jitter_probability=self.jitter_probability,
            grey=0.0,
        )
        return ClipViews(views)

    def rate_factor(self, epoch: int) -> float:
        """What learning rates are multiplied with in the epoch with this number, from 0."""
        return 0.1 ** sum(epoch >= round(share * self.num_epochs) for share in self.drops)

    def check_training(
        self, data: ClipData, *, frames: int | None, device: torch.device, num_workers: int
    ) -> None:
        """Raises `UserError` for a training that cannot be, on clips of `frames` where these are known."""
        if self.batch_size > len(data.train):
            raise UserError(
                f"{self.name}: batch_size {self.batch_size} exceeds the {len(data.train)} training videos of "
                f"{data.name}; take at most as many"
            )
        if self.batch_size % num_workers:
            raise UserError(
                f"{self.name}: batch_size {self.batch_size} cannot be shared equally by {num_workers} "
                f"workers; make it a multiple of {num_workers}"
            )
        if self.precision == "bf16" and device.type != "cuda":
            raise UserError(f"{self.name}: precision bf16 is for GPUs; on a {device.type} take fp32")
        if frames is not None:
            data.train.require_room(self.batch_size // num_workers, frames)
