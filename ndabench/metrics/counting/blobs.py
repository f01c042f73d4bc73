"""An exact counter of objects on a fixed background: connected components, odd ones left out.

What the background is and how objects look is learned from real images, in the plainest way: the background
is the median of each pixel, and an object is a connected patch (also at corners) of pixels that differ from
it, whose area, elongation and fullness lie in the range of those in real images, with a tolerance.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ndabench.data.source import Pixels

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DIFFERENT = 64
"""Levels, of 255, by which a channel of an object's pixel differs from the background."""
AREA_TOLERANCE, ELONGATION_TOLERANCE, FULLNESS_TOLERANCE = 1.3, 1.2, 1.1
"""Factors by which an object may be larger or smaller, longer, and emptier than all real ones. Most pairs of
objects that touch are longer or emptier than that; some small ones pass as one large object."""
WITHIN_AN_IMAGE = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])
"""Neighbours of a pixel in a stack of images."""


class Blobs(NamedTuple):
    """The connected patches of some images, `[B]` each."""

    image: Integers
    """In which image."""
    area: Integers
    """Pixels."""
    elongation: Floats
    """The longer side of the box around it in units of the shorter one."""
    fullness: Floats
    """The share of the box that it covers."""


class Counts(NamedTuple):
    """What was counted in each image, `[N]`."""

    objects: Integers
    unclear: npt.NDArray[np.bool_]
    """Whether the image contains something that is not an object."""


@dataclass(frozen=True)
class BlobCounter:
    """Counts objects like those that it was fitted to."""

    background: Pixels
    smallest: float
    largest: float
    longest: float
    emptiest: float

    @classmethod
    def fit(cls, images: Pixels) -> "BlobCounter":
        """Learns from real images, uint8 `[N, C, H, W]`, of which at least one must hold an object."""
        background = np.median(images, axis=0).astype(np.uint8)
        blobs = blobs_of(images, background)
        return cls(
            background,
            blobs.area.min() / AREA_TOLERANCE,
            blobs.area.max() * AREA_TOLERANCE,
            blobs.elongation.max() * ELONGATION_TOLERANCE,
            blobs.fullness.min() / FULLNESS_TOLERANCE,
        )

    def count(self, images: Pixels) -> Counts:
        """The objects in images, uint8 `[N, C, H, W]`."""
        blobs = blobs_of(images, self.background)
        is_object = (
            (blobs.area >= self.smallest)
            & (blobs.area <= self.largest)
            & (blobs.elongation <= self.longest)
            & (blobs.fullness >= self.emptiest)
        )
        objects, others = (
            np.bincount(blobs.image[chosen], minlength=len(images)) for chosen in (is_object, ~is_object)
        )
        return Counts(objects, others > 0)


def blobs_of(images: Pixels, background: Pixels) -> Blobs:
    """All patches of images, uint8 `[N, C, H, W]`, that differ from the background `[C, H, W]`."""
    differs = np.abs(images.astype(np.int16) - background).max(1) >= DIFFERENT
    labels, count = ndimage.label(differs, WITHIN_AN_IMAGE)
    boxes = ndimage.find_objects(labels)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    sides = np.array([[part.stop - part.start for part in box[1:]] for box in boxes]).reshape(-1, 2)
    return Blobs(
        np.array([box[0].start for box in boxes], dtype=np.int64),
        area,
        sides.max(1, initial=1) / sides.min(1, initial=2**30),
        area / sides.prod(1),
    )
