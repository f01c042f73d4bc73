"""Images that hold a given number of objects, to ask whether a generator counts (Zhao et al., NeurIPS 2018).

Each image shows n objects of random size, place and colour that do not touch, where n is one of `count`; n is
also its class. `discs` are plain dots on black. `clevr` are spheres, cubes and cylinders, shaded, in the
colours of CLEVR (Johnson et al., CVPR 2017) on its grey floor, drawn flat.

An image is a function of `seed`, its row and the keys that describe what it shows. The random stream is one
that NumPy promises to keep, and the drawing uses no operation that rounds differently on another machine, so
the content hash is the same everywhere.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field, field_validator, model_validator

from ndabench.data.source import ImageConfig, Source
from ndabench.data.splits import Rows

Floats = npt.NDArray[np.float64]
Look = Literal["discs", "clevr"]

GAP = 2.0
"""Pixels between two objects, and between an object and the border: no two share a pixel or touch at a
corner."""
FULL = 0.4
"""The largest share of the image that objects with their gaps may take; random placing fails from about 0.5
on."""
TRIES = 200
"""Random places that are tried for an object before all objects are placed anew."""
CLEVR_COLOURS = np.array(
    [
        (87, 87, 87),
        (173, 35, 35),
        (42, 75, 215),
        (29, 105, 20),
        (129, 74, 25),
        (129, 38, 192),
        (41, 208, 208),
        (255, 238, 51),
    ]
)


class DotsConfig(ImageConfig):
    """Drawn on the fly. Counts take turns, so that each has as many images."""

    name: Literal["dots"] = "dots"
    count: Annotated[tuple[Annotated[int, Field(ge=0, le=100)], ...], Field(min_length=1, max_length=100)] = (
        3,
    )
    """How many objects an image may hold; each number is a class."""
    objects: Look = "discs"
    smallest: float = Field(0.06, gt=0, le=0.5)
    """The radius of the smallest object as a share of the side; a cube's is that of the circle around it."""
    largest: float = Field(0.1, gt=0, le=0.5)
    image_size: int = Field(default=32, ge=8, le=4096)
    num_images: int = Field(default=5000, ge=10, le=10_000_000)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @field_validator("count")
    @classmethod
    def _no_number_twice(cls, count: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(count)) < len(count):
            raise ValueError(f"a number is listed twice in {list(count)}")
        return count

    @model_validator(mode="after")
    def _objects_fit(self) -> "DotsConfig":
        if self.smallest > self.largest:
            raise ValueError(f"smallest {self.smallest} must not be above largest {self.largest}")
        if self.smallest * self.image_size < 1:
            raise ValueError(
                f"objects of a radius of {self.smallest:g} of {self.image_size} pixels are below one pixel; "
                "make smallest or image_size larger"
            )
        space = math.pi * (self.largest * self.image_size + GAP / 2) ** 2
        most = int(FULL * self.image_size**2 / space)
        if max(self.count) > most:
            raise ValueError(
                f"count {max(self.count)}: at most {most} objects of a radius up to {self.largest:g} of the "
                f"side fit into {self.image_size}×{self.image_size}; make largest smaller"
            )
        return self

    @property
    def title(self) -> str:
        look = "" if self.objects == "discs" else f"{self.objects} "
        return f"{look}{self.name} {'+'.join(map(str, self.count))}"

    def files(self) -> list[Path]:
        return []

    def open(self) -> Source:
        labels = np.arange(self.num_images, dtype=np.int64) % len(self.count)
        return Source({"train": DotPictures(self, labels)}, tuple(map(str, self.count)))


@dataclass(frozen=True)
class DotPictures:
    """Pictures that are drawn when they are read."""

    config: DotsConfig
    labels: Rows

    def where(self, row: int) -> str:
        return f"{self.config.title} row {row}"

    def read(self, row: int) -> Image.Image:
        config = self.config
        random = np.random.RandomState([config.seed, row])
        side = config.image_size
        places = placed(
            config.count[self.labels[row]], config.smallest * side, config.largest * side, side, random
        )
        background, paint = {"discs": (_night, _disc), "clevr": (_floor, _solid)}[config.objects]
        canvas = background(side)
        for x, y, radius in places:
            paint(canvas, x, y, radius, random, coloured=config.channels == 3)
        return Image.fromarray(np.round(canvas).astype(np.uint8))


def placed(
    count: int, smallest: float, largest: float, side: int, random: np.random.RandomState
) -> list[tuple[float, float, float]]:
    """Centres and radii `(x, y, radius)` in pixels of `count` discs at least `GAP` apart and inside."""
    radii = np.sort(random.uniform(smallest, largest, count))[::-1]  # the largest first: it needs most space
    while True:
        discs: list[tuple[float, float, float]] = []
        for radius in radii:
            margin = radius + GAP / 2
            for _ in range(TRIES):
                x, y = random.uniform(margin, side - margin, 2)
                if all((x - u) ** 2 + (y - v) ** 2 >= (radius + r + GAP) ** 2 for u, v, r in discs):
                    discs.append((float(x), float(y), float(radius)))
                    break
            else:
                break
        if len(discs) == count:
            return discs


def _night(side: int) -> Floats:
    return np.zeros((side, side, 3))


def _floor(side: int) -> Floats:
    """Grey, a little brighter towards the viewer; the same in every image."""
    return np.ones((side, side, 3)) * np.linspace(170.0, 215.0, side)[:, None, None]


def _disc(
    canvas: Floats, x: float, y: float, radius: float, random: np.random.RandomState, *, coloured: bool
) -> None:
    """A dot of any bright colour, or of any bright grey."""
    colour = random.randint(0, 256, 3)
    brightest = random.randint(3)
    if coloured:
        colour[brightest] = 255
    else:
        colour[:] = 128 + colour[brightest] // 2
    _blend(canvas, _round(canvas, x, y, radius), colour)


def _solid(
    canvas: Floats, x: float, y: float, radius: float, random: np.random.RandomState, *, coloured: bool
) -> None:
    """A sphere, cube or cylinder of one of CLEVR's colours, or of its grey, lit from the upper left."""
    colour = CLEVR_COLOURS[random.randint(len(CLEVR_COLOURS)) if coloured else 0]
    outline = SOLIDS[random.randint(len(SOLIDS))](canvas, x, y, radius)
    down, right = np.mgrid[: len(canvas), : len(canvas)] + 0.5
    light = np.clip(1 - 0.25 * ((right - x) + (down - y)) / radius, 0.6, 1.2)[:, :, None]
    _blend(canvas, outline, np.minimum(colour * light, 255.0))


def _blend(canvas: Floats, coverage: Floats, colour: Floats | npt.NDArray[np.int64]) -> None:
    """Paints with `colour` where `coverage` `[H, W]`, from 0 to 1, says so."""
    canvas += coverage[:, :, None] * (colour - canvas)


def _round(canvas: Floats, x: float, y: float, radius: float) -> Floats:
    down, right = np.mgrid[: len(canvas), : len(canvas)] + 0.5
    distance = np.sqrt((right - x) ** 2 + (down - y) ** 2)
    return np.clip(radius + 0.5 - distance, 0.0, 1.0)


def _box(canvas: Floats, x: float, y: float, half_width: float, half_height: float) -> Floats:
    down, right = np.mgrid[: len(canvas), : len(canvas)] + 0.5
    across = np.clip(half_width + 0.5 - np.abs(right - x), 0.0, 1.0)
    along = np.clip(half_height + 0.5 - np.abs(down - y), 0.0, 1.0)
    return across * along


SOLIDS: tuple[Callable[[Floats, float, float, float], Floats], ...] = (
    _round,
    lambda canvas, x, y, radius: _box(canvas, x, y, 0.7 * radius, 0.7 * radius),
    lambda canvas, x, y, radius: _box(canvas, x, y, 0.6 * radius, 0.8 * radius),
)
"""The outlines of a sphere, a cube and a cylinder, each inside the circle of that radius."""
