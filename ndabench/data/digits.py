"""The bundled default: the 1,797 real handwritten digits that come with scikit-learn (UCI, 8×8, 0..16)."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from ndabench.data.source import ArrayPictures, ImageConfig, Source


class DigitsConfig(ImageConfig):
    """Greyscale 8×8 digits, enlarged to `image_size`; a fixed fifth of them is the test split."""

    name: Literal["digits"] = "digits"
    image_size: int | None = Field(default=16, ge=1, le=4096)
    channels: Literal[1, 3] = 1

    def files(self) -> list[Path]:
        return []

    def open(self) -> Source:
        # late: importing it takes a second, which only a first use pays
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)
        pictures = ArrayPictures(Path("scikit-learn's digits"), images, digits.target.astype(np.int64))
        return Source({"train": pictures}, tuple(str(digit) for digit in digits.target_names))
