"""The encoder that learns nothing, to show what a probe reaches on the raw pixels."""

import math

from torch import Tensor, nn


class RawPixels(nn.Module):
    """The pixels of `[N, C, H, W]` images as they are, `-> [N, C * H * W]`."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.dimension = math.prod(image_shape)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)
