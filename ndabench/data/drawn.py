"""Images that are drawn by a seed and need no files: noise and simple shapes.

They serve as outliers for an anomaly score where no other data set is at hand; see
`ndabench.metrics.anomaly_config`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw
from pydantic import Field

from ndabench.data.source import ImageConfig, Source
from ndabench.data.splits import Rows

Draw = Callable[[np.random.Generator, int, int], Image.Image]
"""A picture of a side in pixels, of the class with that number."""

SHAPES = ("circle", "square", "triangle", "cross")


class DrawnConfig(ImageConfig):
    """The keys that all drawn sets share. The picture in row i is a function of `seed` and i."""

    image_size: int = Field(default=32, ge=4, le=4096)
    num_images: int = Field(default=2000, ge=10, le=10_000_000)
    seed: int = Field(default=0, ge=0, lt=2**32)

    def files(self) -> list[Path]:
        return []

    def _source(self, draw: Draw, class_names: Sequence[str]) -> Source:
        labels = np.arange(self.num_images, dtype=np.int64) % len(class_names)
        pictures = DrawnPictures(self.title, draw, self.image_size, self.seed, labels)
        return Source({"train": pictures}, tuple(class_names))


class NoiseConfig(DrawnConfig):
    """Every pixel and channel independent and uniform on 0 to 255."""

    name: Literal["noise"] = "noise"

    def open(self) -> Source:
        return self._source(_noise, ("noise",))


class ShapesConfig(DrawnConfig):
    """A filled circle, square, triangle or cross of any colour, size and place on a plain background."""

    name: Literal["shapes"] = "shapes"

    def open(self) -> Source:
        return self._source(_shape, SHAPES)


@dataclass(frozen=True)
class DrawnPictures:
    """Pictures that are drawn when they are read."""

    title: str
    draw: Draw
    side: int
    seed: int
    labels: Rows

    def where(self, row: int) -> str:
        return f"{self.title} row {row}"

    def read(self, row: int) -> Image.Image:
        return self.draw(np.random.default_rng((self.seed, row)), self.side, int(self.labels[row]))


def _noise(random: np.random.Generator, side: int, label: int) -> Image.Image:
    return Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8))


def _shape(random: np.random.Generator, side: int, label: int) -> Image.Image:
    background, colour = (tuple(int(level) for level in random.integers(0, 256, 3)) for _ in range(2))
    image = Image.new("RGB", (side, side), background)
    radius = side * random.uniform(0.15, 0.35)
    x, y = random.uniform(radius, side - radius, 2)
    box = (x - radius, y - radius, x + radius, y + radius)
    pen = ImageDraw.Draw(image)
    match SHAPES[label]:
        case "circle":
            pen.ellipse(box, fill=colour)
        case "square":
            pen.rectangle(box, fill=colour)
        case "triangle":
            pen.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=colour)
        case "cross":
            thin = radius / 3
            pen.rectangle((x - radius, y - thin, x + radius, y + thin), fill=colour)
            pen.rectangle((x - thin, y - radius, x + thin, y + radius), fill=colour)
    return image
