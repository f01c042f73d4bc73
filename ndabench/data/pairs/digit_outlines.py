"""The bundled paired set: outlines of handwritten digits, and the digits."""

import colorsys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from ndabench.data.config import SplitName
from ndabench.data.pairs.source import Colour, PairedConfig, Pairs, Palette

SIDE = 32
"""Digits of 8×8 pixels are enlarged to this before their outlines are taken."""
INK = 96
"""A pixel at least this bright belongs to the digit."""


def _hue(digit: int) -> Colour:
    red, green, blue = (round(255 * level) for level in colorsys.hsv_to_rgb(digit / 10, 1, 1))
    return red, green, blue


COLOURS = {"background": (0, 0, 0), **{str(digit): _hue(digit) for digit in range(10)}}


class DigitOutlinesConfig(PairedConfig):
    """The 1,797 digits of scikit-learn: A is the outline, in a colour for each digit, B the digit, in grey.

    The classes of the label map are the ten digits, on their outlines, and the background.
    """

    name: Literal["digit_outlines"] = "digit_outlines"
    image_size: int = Field(default=32, ge=4, le=4096)
    load_size: int | None = Field(default=32, ge=4, le=4096)
    horizontal_flip: bool = False

    @property
    def palette(self) -> Palette:
        return Palette("A", COLOURS)

    def files(self) -> list[Path]:
        return []

    def open_pairs(self) -> dict[SplitName, Pairs]:
        # late: importing it takes a second, which only a first use pays
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)
        return {"train": DigitPairs(images, digits.target.astype(np.int64))}


@dataclass(frozen=True)
class DigitPairs:
    """Digits, uint8 `[N, 8, 8]`, and their classes `[N]`, as pairs."""

    images: npt.NDArray[np.uint8]
    digits: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)

    def where(self, row: int) -> str:
        return f"scikit-learn's digits row {row}"

    def read(self, row: int) -> tuple[Image.Image, Image.Image]:
        large = Image.fromarray(self.images[row]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        drawn = np.zeros((SIDE, SIDE, 3), np.uint8)
        drawn[outline(np.asarray(large) >= INK)] = COLOURS[str(self.digits[row])]
        return Image.fromarray(drawn), large.convert("RGB")


def outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels of `mask` that have a neighbour, above, below, left or right, outside it."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: npt.NDArray[np.bool_] = mask & ~inside
    return edge
