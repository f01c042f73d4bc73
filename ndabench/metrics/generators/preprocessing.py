"""How stored images become what a pretrained network saw in its training.

Images are brought to a square, never cropped: a generator's whole image is measured.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """uint8 `[B, 1 or 3, H, W]` to float32 `[B, 3, size, size]`: (x / 255 − mean) / std for each channel."""

    size: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    like_pil: bool = True
    """Whether to resize as PIL does: with antialiasing, rounded to whole levels."""

    def __call__(self, images: Tensor) -> Tensor:
        levels = images.expand(-1, 3, -1, -1).float()
        if levels.shape[-2:] != (self.size, self.size):
            levels = self._resized(levels)
        mean, std = (levels.new_tensor(numbers)[:, None, None] for numbers in (self.mean, self.std))
        return (levels / 255 - mean) / std

    def _resized(self, levels: Tensor) -> Tensor:
        if not self.like_pil:
            return F.interpolate(levels, (self.size, self.size), mode=self.interpolation)
        for sides in ((levels.shape[-2], self.size), (self.size, self.size)):  # PIL rounds after each side
            levels = F.interpolate(levels, sides, mode=self.interpolation, antialias=True)
            levels = levels.round().clamp(0, 255)
        return levels

    @property
    def protocol(self) -> dict[str, Any]:
        """What the network sees, as plain data."""
        return {"input_size": self.size, "input_range": self.input_range, "resize": self.resize}

    @property
    def input_range(self) -> list[float]:
        """The smallest and the largest value of any channel."""
        channels = list(zip(self.mean, self.std, strict=True))
        low = min(-mean / std for mean, std in channels)
        high = max((1 - mean) / std for mean, std in channels)
        return [round(low, 4), round(high, 4)]

    @property
    def resize(self) -> str:
        manner = "as PIL does it" if self.like_pil else "no antialiasing"
        return f"{self.interpolation} to {self.size}×{self.size}, {manner}"
