"""How a sweep file says what clip encoder to pre-train, by which method, with which NDA keys."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from ndabench.augmentations.clip_views import ClipViews
from ndabench.config import named
from ndabench.metrics import ClipSampling
from ndabench.tasks.clip_encoders import ClipEncoderConfig, ResNet2d3dConfig
from ndabench.tasks.contrastive_config import ContrastiveConfig, ViewsConfig
from ndabench.tasks.contrastive_methods import MocoConfig, SimclrConfig
from ndabench.tasks.dpc import DpcConfig

ClipMethodConfig = Annotated[
    DpcConfig | MocoConfig | SimclrConfig, Field(discriminator="name"), BeforeValidator(named)
]

OF_PAIRS = ("embedding_dim", "hidden_dim", "mlp_head", "temperature", "nda_source")
"""Keys of the methods that compare two views, which mean nothing to DPC."""


class ClipViewsConfig(ViewsConfig):
    """How a view of a clip is made: crop and flip are a clip's. See `augmentations.clip_views`."""

    colours: Literal["clip", "frame"] = "clip"
    """How often jitter, grey and blur are drawn; DPC draws them for each frame."""

    def clip_views(self) -> ClipViews:
        """`UserError` for values that do not go together."""
        return ClipViews(self.image_views(), self.colours)


class VideoContrastiveConfig(ContrastiveConfig):
    """How a clip encoder is pre-trained. The defaults are DPC's on UCF-101, less its views."""

    name: Literal["video_contrastive"] = "video_contrastive"
    method: ClipMethodConfig = DpcConfig()
    encoder: ClipEncoderConfig = ResNet2d3dConfig()
    views: ClipViewsConfig = ClipViewsConfig()
    clip_frames: int = Field(40, ge=1, le=1024)
    """Frames of a clip; a shorter video's last frame is repeated."""
    frame_stride: int = Field(3, ge=1, le=1024)
    """Every so many frames of a video one is taken."""

    batch_size: int = Field(32, ge=2)
    optimizer: Literal["adam", "sgd"] = "adam"
    """SGD with `momentum`; Adam has 0.9 and 0.999."""
    learning_rate: float = Field(1e-3, gt=0)
    drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] | None = None
    """Shares of the training after which the learning rate falls to a tenth; None: half a cosine to 0."""
    weight_decay: float = Field(1e-5, ge=0)

    @model_validator(mode="after")
    def _fits_together(self) -> "VideoContrastiveConfig":
        if isinstance(self.method, DpcConfig):
            self._check_dpc(self.method)
        if self.num_steps > 0:
            self.method.check(self.batch_size)
        return self

    def _check_dpc(self, method: DpcConfig) -> None:
        if not isinstance(self.encoder, ResNet2d3dConfig):
            raise ValueError(
                f"method dpc predicts the maps of a resnet2d3d; {self.encoder.name} goes with moco or simclr"
            )
        if self.clip_frames % method.num_blocks:
            raise ValueError(
                f"clip_frames {self.clip_frames} cannot be cut into {method.num_blocks} equal blocks; "
                f"make it a multiple of {method.num_blocks}"
            )
        if self.num_steps == 0 and self.encoder.weights is not None and method.weights is None:
            raise ValueError(
                "encoder.weights leave the ConvGRU of dpc untrained; "
                "a trained one is measured by method.weights, its dpc.pt"
            )
        for key in OF_PAIRS:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} means nothing to method dpc; it is a key of moco and simclr")

    def shown_shape(self, frame_shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
        """What encoder and negatives see at once, (C, T, H, W): a view of a clip; in DPC of a block."""
        channels, height, width = frame_shape
        num_blocks = self.method.num_blocks if isinstance(self.method, DpcConfig) else 1
        return channels, self.clip_frames // num_blocks, self.views.size or height, self.views.size or width

    @property
    def sampling(self) -> ClipSampling:
        """How clips are cut where the encoder is measured."""
        return ClipSampling(self.clip_frames, self.frame_stride, self.views.size)

    def learning_rate_at(self, step: int) -> float:
        """Of the step after `step` steps: linear warm-up, then `drops` or half a cosine."""
        if self.drops is None or step < self.num_warm_up_steps:
            return super().learning_rate_at(step)
        return self.learning_rate * 0.1 ** sum(step >= share * self.num_steps for share in self.drops)
