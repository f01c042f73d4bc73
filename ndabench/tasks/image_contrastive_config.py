"""How a sweep file says what image encoder to pre-train, by which method, with which NDA keys."""

from typing import Literal

from pydantic import model_validator

from ndabench.tasks.contrastive_config import ContrastiveConfig, ViewsConfig
from ndabench.tasks.contrastive_methods import MethodConfig, MocoConfig
from ndabench.tasks.encoders import EncoderConfig, PixelsConfig, ResNetConfig


class ImageContrastiveConfig(ContrastiveConfig):
    """How an encoder is pre-trained. The defaults are MoCo's on CIFAR-10 with MoCo-v2's MLP head.

    SGD; the learning rate falls to 0 along half a cosine.
    """

    name: Literal["image_contrastive"] = "image_contrastive"
    method: MethodConfig = MocoConfig()
    encoder: EncoderConfig = ResNetConfig()
    views: ViewsConfig = ViewsConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "ImageContrastiveConfig":
        if self.num_steps == 0:
            return self
        if isinstance(self.encoder, PixelsConfig):
            raise ValueError("the encoder pixels has nothing to train; set num_steps: 0")
        self.method.check(self.batch_size)
        return self

    def shown_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Augmentations see views."""
        channels, height, width = image_shape
        return channels, self.views.size or height, self.views.size or width
