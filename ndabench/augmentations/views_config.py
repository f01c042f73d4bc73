"""What random views of images and clips may change; `views.py` makes them. Imports no torch."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ndabench.config import Config, Positive, Share


class ViewsConfig(Config):
    """How a view of an image is made; the defaults are MoCo's on CIFAR."""

    RENAMED: ClassVar[Mapping[str, str]] = {"grey": "grayscale"}

    size: int | None = Field(None, ge=4, le=4096)
    """Side of a view in pixels; None: the sides of the images."""
    crop_scale: tuple[Share, Share] = (0.2, 1.0)
    """Share of the image's area that a crop covers."""
    crop_ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    """Width over height of a crop, in pixels of the image, before it becomes a square."""
    flip: Share = 0.5
    jitter: tuple[Share, Share, Share, Share] = (0.4, 0.4, 0.4, 0.1)
    """Strengths of brightness, contrast, saturation (factors 1 ± strength) and hue (± strength turns)."""
    jitter_probability: Share = 0.8
    grayscale: Share = 0.2
    blur: Share = 0.0
    """Probability of a Gaussian blur, σ ~ U(0.1, 2) pixels, the kernel cut off at a tenth of the side.
    MoCo-v2 has 0.5 on ImageNet."""

    @model_validator(mode="after")
    def _can_be_drawn(self) -> "ViewsConfig":
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale needs 0 < low <= high <= 1, got {low} and {high}")
        narrow, wide = self.crop_ratio
        if not 0 < narrow <= wide:
            raise ValueError(f"crop_ratio needs 0 < low <= high, got {narrow} and {wide}")
        if not (all(0 <= strength <= 1 for strength in self.jitter) and self.jitter[3] <= 0.5):
            raise ValueError(f"jitter must lie in [0, 1], its hue in [0, 0.5], got {list(self.jitter)}")
        return self


class ClipViewsConfig(ViewsConfig):
    """How a view of a clip is made: crop and flip are drawn once for all its frames."""

    RENAMED: ClassVar[Mapping[str, str]] = {**ViewsConfig.RENAMED, "colours": "color_jitter_per"}

    color_jitter_per: Literal["clip", "frame"] = "clip"
    """How often jitter, grayscale and blur are drawn. DPC (arXiv 1909.04656) draws them for each frame, so
    that the future cannot be told by its colours."""
