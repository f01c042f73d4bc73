"""The configurations of the contrastive tasks: sizes, learning rates, and the weight of NDA keys.

`ContrastiveConfig` holds what images and clips share. The keys of each method are next to its implementation,
in `moco_config.py`, `simclr_config.py` and `dpc_config.py`; views are configured in
`augmentations/views_config.py`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ndabench.augmentations.views_config import ClipViewsConfig, ViewsConfig
from ndabench.config import BatchSize, Milestones, Momentum, NonNegative, Positive, Size, Steps, Temperature
from ndabench.data.videos.clip_sampling import ClipSampling
from ndabench.errors import UserError
from ndabench.registry import OneOf
from ndabench.tasks.contrastive.dpc_config import DpcConfig
from ndabench.tasks.contrastive.encoders import (
    ENCODERS,
    ClipEncoderConfig,
    ImageEncoderConfig,
    ResNet2d3dConfig,
    ResNetConfig,
)
from ndabench.tasks.contrastive.methods import METHODS
from ndabench.tasks.contrastive.moco_config import MocoConfig
from ndabench.tasks.definition import TaskConfig

NdaSource = Literal["query", "key", "raw"]


class ContrastiveConfig(TaskConfig):
    """The keys that image and video pre-training share."""

    name: str
    method: Any
    """How the network learns: the configuration of an entry of `methods.METHODS`."""
    views: ViewsConfig = ViewsConfig()

    embedding_dim: int = Field(128, ge=2, le=2**16)
    hidden_dim: Size | None = None
    """Width of the head's hidden layer; None: that of the features."""
    mlp_head: bool = True
    """MoCo-v2's and SimCLR's; without it the head is one linear layer, as in MoCo-v1."""
    temperature: Temperature = 0.1

    num_nda_keys: int = Field(1, ge=1, le=1024)
    """Draws of T for each query."""
    nda_scale: Positive = 1.0
    """α: scales the similarity to NDA keys inside the exponent."""
    nda_source: NdaSource = "query"
    """What T is applied to: the query's view, the key's view, or the raw image or clip."""

    batch_size: BatchSize = 256
    num_steps: Steps = 2000
    """0 leaves the encoder as it is and only evaluates it."""
    learning_rate: Positive = 0.03
    """At its highest."""
    num_warm_up_steps: Steps = 0
    """Steps over which the learning rate rises to its highest value."""
    optimizer: Literal["adam", "sgd"] = "sgd"
    """SGD with `momentum`; Adam has 0.9 and 0.999."""
    momentum: Momentum = 0.9
    weight_decay: NonNegative = 5e-4

    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = True
    """Memory format of the convolutions: the same numbers, mostly faster."""

    @model_validator(mode="after")
    def _warms_up_in_time(self) -> "ContrastiveConfig":
        if 0 < self.num_steps < self.num_warm_up_steps:
            raise ValueError(
                f"num_warm_up_steps {self.num_warm_up_steps} must not exceed num_steps {self.num_steps}"
            )
        return self

    def judged_per_step(self, *, negative: bool) -> int | None:
        """Queries, keys and NDA keys that a step encodes: views of images or clips, or in DPC blocks.

        None where the method's configuration has no `encodings`.
        """
        encodings: Callable[[int], int] | None = getattr(self.method, "encodings", None)
        return None if encodings is None else self.batch_size * encodings(self.num_nda_keys * negative)

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of the step after `step` steps: linear warm-up, then half a cosine down to 0."""
        if step < self.num_warm_up_steps:
            return self.learning_rate * (step + 1) / self.num_warm_up_steps
        share = (step - self.num_warm_up_steps) / max(1, self.num_steps - self.num_warm_up_steps)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


class ImageContrastiveConfig(ContrastiveConfig):
    """How an image encoder is pre-trained. The defaults are MoCo's on CIFAR-10 with MoCo-v2's MLP head.

    SGD; the learning rate falls to 0 along half a cosine.
    """

    name: Literal["image_contrastive"] = "image_contrastive"
    method: Annotated[Any, OneOf(METHODS.where(lambda method: "images" in method.learns_from))] = MocoConfig()
    encoder: ImageEncoderConfig = ResNetConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "ImageContrastiveConfig":
        if self.num_steps == 0:
            return self
        if not ENCODERS[self.encoder.name].trainable:
            raise ValueError(f"the encoder {self.encoder.name} has nothing to train; set num_steps: 0")
        self.method.check(self)
        return self

    def shown_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Augmentations see views: (C, H, W)."""
        channels, height, width = shape
        return channels, self.views.size or height, self.views.size or width


def check_image_evaluations(config: ImageContrastiveConfig, evaluations: Sequence[Any]) -> None:
    """`UserError` for an evaluation that needs the layers of a ResNet where the encoder is none."""
    if not isinstance(config.encoder, ResNetConfig) and any(one.name == "detection" for one in evaluations):
        raise UserError(
            f"evaluate: detection needs a ResNet to start from; the encoder {config.encoder.name} is none"
        )


class VideoContrastiveConfig(ContrastiveConfig):
    """How a clip encoder is pre-trained. The defaults are DPC's on UCF-101, except for its views."""

    RENAMED: ClassVar[Mapping[str, str]] = {"drops": "lr_milestones"}

    name: Literal["video_contrastive"] = "video_contrastive"
    method: Annotated[Any, OneOf(METHODS.where(lambda method: "videos" in method.learns_from))] = DpcConfig()
    encoder: ClipEncoderConfig = ResNet2d3dConfig()
    views: ClipViewsConfig = ClipViewsConfig()
    clip_frames: int = Field(40, ge=1, le=1024)
    """Frames of a clip; a shorter video's last frame is repeated."""
    frame_stride: int = Field(3, ge=1, le=1024)
    """One frame in this many is taken from a video."""

    batch_size: BatchSize = 32
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: Positive = 1e-3
    lr_milestones: Milestones | None = None
    """Shares of the training after which the learning rate falls to a tenth; None: half a cosine to 0."""
    weight_decay: NonNegative = 1e-5

    @model_validator(mode="after")
    def _fits_together(self) -> "VideoContrastiveConfig":
        self.method.check(self)
        return self

    @property
    def num_blocks(self) -> int:
        """Equal parts of a clip that encoder and negatives see one at a time; 1: the whole clip."""
        return getattr(self.method, "num_blocks", 1)

    def shown_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that encoder and negatives see at once, (C, T, H, W): a view of a clip or, in DPC, of a
        block."""
        channels, height, width = shape
        return (
            channels,
            self.clip_frames // self.num_blocks,
            self.views.size or height,
            self.views.size or width,
        )

    @property
    def sampling(self) -> ClipSampling:
        """How clips are cut out of videos when the encoder is measured."""
        return ClipSampling(self.clip_frames, self.frame_stride, self.views.size)

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of the step after `step` steps: linear warm-up, then `lr_milestones` or half a
        cosine."""
        if self.lr_milestones is None or step < self.num_warm_up_steps:
            return super().learning_rate_at(step)
        return self.learning_rate * 0.1 ** sum(step >= share * self.num_steps for share in self.lr_milestones)
