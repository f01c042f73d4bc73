"""How frames of any size come to one size: scaled as a whole, or scaled to cover it and cut to its centre."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class Framing(NamedTuple):
    """The size that every frame gets."""

    height: int
    width: int
    crop: bool
    """Keep the shape of things and cut off what is over, else squeeze the whole picture in."""

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) to which a picture is scaled before `cut`; never below the target."""
        if not self.crop:
            return self.height, self.width
        # In whole numbers, so that the side that fits does so exactly.
        if height * self.width <= width * self.height:
            return self.height, max(round(width * self.height / height), self.width)
        return max(round(height * self.width / width), self.height), self.width

    def cut(self, picture: Pixels) -> Pixels:
        """The centre of a scaled picture `[H', W', 3]`, `[H, W, 3]`."""
        top, left = (picture.shape[0] - self.height) // 2, (picture.shape[1] - self.width) // 2
        return picture[top : top + self.height, left : left + self.width]
