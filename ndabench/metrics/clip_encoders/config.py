"""The configurations of the evaluations of clip encoders. Nothing here imports torch."""

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from ndabench.augmentations.views_config import ViewsConfig
from ndabench.config import (
    BatchSize,
    Count,
    Milestones,
    Momentum,
    NonNegative,
    Penalties,
    Positive,
    Share,
)
from ndabench.data.registry import VideoDataConfig
from ndabench.data.videos.clip_sampling import ClipSampling, CropRule, WindowRule
from ndabench.metrics.evaluation import DataFacts, ProbeConfig
from ndabench.metrics.image_encoders.config import NeighbourKeys

TOP = 5
"""With more classes than this, the top-k accuracy with this k is also reported."""
RANKS = (1, 5, 10)
"""The k of R@k."""


def windows_of(data: VideoDataConfig | None, windows: WindowRule, crops: CropRule) -> Hashable:
    """The work that evaluations of frozen features on the data set `data` share."""
    return ("features of windows", data, windows, crops)


class ClipEncoderEvaluation(ProbeConfig):
    """The keys that all evaluations by action recognition share."""

    data: VideoDataConfig | None = None
    """Another data set to measure on; None: the one that the encoder was trained on."""
    windows: WindowRule = "half"
    """Which clips of a video are looked at: `half`, all that overlap by half, or `ten`, spread evenly."""
    crops: CropRule = "centre"
    """Which parts of a frame: the centre, also the corners (`five`), or these and mirror images (`ten`)."""

    def check(self, data: DataFacts) -> None:
        if self.data is None:  # another data set is checked where it is loaded
            self.check_classes(data)

    def of(self, sampling: ClipSampling) -> ClipSampling:
        """How the encoder sees videos here, of how it sees them at all."""
        return replace(sampling, windows=self.windows, crops=self.crops)

    @property
    def frozen_features(self) -> Hashable:
        """The work that evaluations of the same features share."""
        return windows_of(self.data, self.windows, self.crops)

    def settings(self) -> dict[str, Any]:
        """The keys that define the measurement, as plain data, without those that its sampling has."""
        return self.model_dump(mode="json", exclude={"name", "every", "as_", "data", "windows", "crops"})


class VideoClassificationConfig(ClipEncoderEvaluation):
    """The keys of the evaluations that classify videos."""

    @property
    def measures(self) -> tuple[str, ...]:
        """The second one only where there are more than five classes."""
        return (self.name, f"{self.name}_top{TOP}")


class ClipLinearProbeConfig(VideoClassificationConfig):
    """`linear_probe`: seconds for each penalty, nothing random. See `linear_probe.py`."""

    name: Literal["linear_probe"] = "linear_probe"
    penalties: Penalties = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    max_iterations: Count = 10_000

    @property
    def shares(self) -> tuple[Hashable, ...]:
        return (self.frozen_features,)


class RetrievalConfig(ClipEncoderEvaluation):
    """`retrieval`: cheap, nothing random. See `retrieval.py`."""

    name: Literal["retrieval"] = "retrieval"

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_r{rank}" for rank in RANKS)

    @property
    def shares(self) -> tuple[Hashable, ...]:
        return (self.frozen_features,)


class VideoKnnConfig(NeighbourKeys, ClipEncoderEvaluation):
    """`video_knn`: cheap, nothing random. See `knn.py`."""

    name: Literal["video_knn"] = "video_knn"
    neighbours: Count = 20  # data sets of videos are small

    @property
    def shares(self) -> tuple[Hashable, ...]:
        return (self.frozen_features,)


class ClipTrainingConfig(VideoClassificationConfig):
    """The keys of the evaluations that train a classifier on clips by steps, each with the defaults of the
    publication that it is named after. See `clip_training.py`.
    """

    FROZEN: ClassVar[bool] = False
    """Whether only the new layers learn."""
    OPTIMIZER: ClassVar[Literal["adam", "sgd"]] = "adam"
    """`sgd` has a momentum of 0.9."""
    UNIT_LENGTH: ClassVar[bool] = False
    """Whether features are scaled to unit length before the new layers."""
    BATCH_NORM: ClassVar[bool] = True
    """Whether the new layers begin with a batch norm."""
    WEIGHTS: ClassVar[Literal["orthogonal", "normal"]] = "orthogonal"
    """How the weights of the linear layer are drawn; `normal` has a standard deviation of 0.01."""

    num_epochs: Count
    batch_size: BatchSize
    """Clips in a step, over all workers."""
    learning_rate: Positive
    lr_milestones: Milestones
    """Shares of the epochs after which the learning rate is divided by ten."""
    weight_decay: NonNegative = 1e-3
    crop_scale: tuple[Share, Share]
    """Share of a frame's area that a crop covers."""
    flip: Share = 0.5
    """Probability of a mirrored clip; 0 where directions are the classes."""
    jitter: tuple[Share, Share, Share, Share]
    """Strengths of brightness, contrast, saturation and hue, equal on all frames of a clip."""
    jitter_probability: Share = 0.3
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the training, bf16 on GPUs only; testing is in fp32."""
    refit: bool = False
    """Whether the tested network has learned from training and validation videos, in a second training; else
    the validated network is tested."""

    @model_validator(mode="after")
    def _can_be_drawn(self) -> "ClipTrainingConfig":
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale needs 0 < low <= high <= 1, got {[low, high]}")
        if not (all(0 <= strength <= 1 for strength in self.jitter) and self.jitter[3] <= 0.5):
            raise ValueError(f"jitter must lie in [0, 1], its hue in [0, 0.5], got {list(self.jitter)}")
        return self

    @property
    def dropped(self) -> float:
        """Share of the features that dropout before the last layer leaves out."""
        return 0.0

    @property
    def backbone_share(self) -> float:
        """The learning rate of the pre-trained layers, as a share of that of the new ones."""
        return 0.0

    def views(self, size: int | None) -> ViewsConfig:
        """The views that the network learns from, `size` × `size` pixels; None: as large as the frames."""
        return ViewsConfig(
            size=size,
            crop_scale=self.crop_scale,
            flip=self.flip,
            jitter=self.jitter,
            jitter_probability=self.jitter_probability,
            grayscale=0.0,
        )

    def rate_factor(self, epoch: int) -> float:
        """The factor of the learning rates in the epoch with this number, from 0."""
        return 0.1 ** sum(epoch >= round(share * self.num_epochs) for share in self.lr_milestones)


class FinetuneConfig(ClipTrainingConfig):
    """The keys of the evaluations that train all layers further."""

    backbone_rate: NonNegative
    """The learning rate of the pre-trained layers, as a share of that of the new ones."""
    dropout: Momentum
    """Before the last layer."""

    @property
    def dropped(self) -> float:
        return self.dropout

    @property
    def backbone_share(self) -> float:
        return self.backbone_rate


class DpcFinetuneConfig(FinetuneConfig):
    """`dpc_finetune`: as published, it costs 100 epochs of training the whole network.

    On HMDB-51 the authors divide the rate after 150, 250 and 300 epochs, and found a dropout of 0.9 better
    later (issue 5 of their repository MemDPC).
    """

    RENAMED: ClassVar[Mapping[str, str]] = {"drops": "lr_milestones"}

    name: Literal["dpc_finetune"] = "dpc_finetune"
    num_epochs: Count = 100
    batch_size: BatchSize = 128
    learning_rate: Positive = 1e-3
    backbone_rate: NonNegative = 1.0
    lr_milestones: Milestones = (0.6, 0.8)
    dropout: Momentum = 0.5
    crop_scale: tuple[Share, Share] = (0.5, 1.0)
    jitter: tuple[Share, Share, Share, Share] = (0.5, 0.5, 0.5, 0.25)

    def settings(self) -> dict[str, Any]:
        settings = super().settings()
        settings["drops"] = settings.pop("lr_milestones")  # former name: values stay comparable
        return settings


class CoclrFinetuneConfig(FinetuneConfig):
    """`coclr_finetune`: as published, it costs 500 epochs of training the whole network, and a test on ten
    crops, for which the frames must be larger than what the encoder sees."""

    BATCH_NORM: ClassVar[bool] = False
    WEIGHTS: ClassVar[Literal["orthogonal", "normal"]] = "normal"

    name: Literal["coclr_finetune"] = "coclr_finetune"
    num_epochs: Count = 500
    batch_size: BatchSize = 64
    learning_rate: Positive = 1e-3
    backbone_rate: NonNegative = 0.1
    lr_milestones: Milestones = (0.8, 0.9)
    dropout: Momentum = 0.9
    crop_scale: tuple[Share, Share] = (0.2, 1.0)
    jitter: tuple[Share, Share, Share, Share] = (0.4, 0.4, 0.4, 0.1)
    crops: CropRule = "ten"


class CoclrLinearProbeConfig(ClipTrainingConfig):
    """`coclr_linear_probe`: as published, it costs 100 passes of the encoder over random crops of the clips,
    and a test on ten crops, for which the frames must be larger than what the encoder sees."""

    FROZEN: ClassVar[bool] = True
    OPTIMIZER: ClassVar[Literal["adam", "sgd"]] = "sgd"
    UNIT_LENGTH: ClassVar[bool] = True
    WEIGHTS: ClassVar[Literal["orthogonal", "normal"]] = "normal"

    name: Literal["coclr_linear_probe"] = "coclr_linear_probe"
    num_epochs: Count = 100
    batch_size: BatchSize = 64
    learning_rate: Positive = 0.1
    lr_milestones: Milestones = (0.6, 0.8)
    crop_scale: tuple[Share, Share] = (0.2, 1.0)
    jitter: tuple[Share, Share, Share, Share] = (0.4, 0.4, 0.4, 0.1)
    crops: CropRule = "ten"
    refit: bool = True
