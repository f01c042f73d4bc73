"""The bundled default: scikit-learn's handwritten digits, enlarged and scattered on coloured canvases.

The digits are split into test, validation and training exactly as the data set `digits` is, so that no digit
appears in two splits and no encoder was trained on a test digit. All arithmetic is in integers and
all draws come from numpy's frozen RandomState: a configuration gives the same pictures everywhere.
"""

import hashlib
import json
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ndabench.data.detection.source import Annotation, ArrayScenes, SceneConfig, SceneSource, hash_annotations
from ndabench.data.splits import TEST_FRACTION, TEST_SEED, Rows, stratified_cut

Integers = npt.NDArray[np.int64]
Box = tuple[int, int, int, int]

CLASS_NAMES = tuple("0123456789")
MOST_OVERLAP = 0.1
"""How much of the smaller of two boxes the other may cover, as a share of its area."""
MOST_TRIES = 50
"""Places that are tried for a digit before it is left out of the picture."""
NOISE = 24
"""Grey levels by which a background pixel may differ from the gradient."""


class ScatteredDigitsConfig(SceneConfig):
    """Square RGB pictures with 1 to `max_objects` digits each, 3/16 to 3/8 of the canvas high."""

    name: Literal["scattered_digits"] = "scattered_digits"
    canvas_size: int = Field(default=96, ge=48, le=512)
    max_objects: int = Field(default=5, ge=1, le=10)
    num_train: int = Field(default=400, ge=1, le=20_000)
    num_validation: int = Field(default=100, ge=1, le=20_000)
    num_test: int = Field(default=100, ge=1, le=20_000)
    seed: int = Field(default=0, ge=0, lt=2**32)

    def open(self) -> SceneSource:
        """Draws the pictures, in about a millisecond each."""
        train, validation, test = (
            _draw_split(pool, count, self, np.random.RandomState([self.seed, number]))
            for number, (pool, count) in enumerate(
                zip(_digits(), (self.num_train, self.num_validation, self.num_test), strict=True)
            )
        )
        return SceneSource(
            CLASS_NAMES,
            _content_hash(train, validation, test),
            train=train,
            validation=validation,
            test=test,
        )


class Digits(NamedTuple):
    """Some of scikit-learn's digits: int64 `[n, 8, 8]` from 0 to 16, and `[n]`."""

    images: Integers
    labels: Rows


def _digits() -> tuple[Digits, Digits, Digits]:
    """Disjoint digits for training, validation and test."""
    from sklearn.datasets import load_digits  # late: importing it takes a second, which only a first use pays

    images, labels = load_digits(return_X_y=True)
    whole = Digits(images.reshape(-1, 8, 8).astype(np.int64), labels.astype(np.int64))
    rest, test = _cut(whole, TEST_FRACTION, TEST_SEED)
    return *_cut(rest, 0.1, 0), test


def _cut(digits: Digits, fraction: float, seed: int) -> tuple[Digits, Digits]:
    kept, cut = stratified_cut(digits.labels, fraction, seed=seed, key="fraction", class_names=CLASS_NAMES)
    return Digits(digits.images[kept], digits.labels[kept]), Digits(digits.images[cut], digits.labels[cut])


def _draw_split(
    pool: Digits, count: int, config: ScatteredDigitsConfig, random: np.random.RandomState
) -> ArrayScenes:
    drawn = [_draw_scene(pool, config, random) for _ in range(count)]
    images = np.stack([canvas for canvas, _ in drawn]).transpose(0, 3, 1, 2)
    return ArrayScenes(np.ascontiguousarray(images.astype(np.uint8)), [objects for _, objects in drawn])


def _draw_scene(
    pool: Digits, config: ScatteredDigitsConfig, random: np.random.RandomState
) -> tuple[Integers, Annotation]:
    """A canvas, int64 `[size, size, 3]`, with its digits; light on dark or dark on light."""
    size = config.canvas_size
    dark_ink = random.randint(2)
    canvas = _background(size, random)
    boxes: list[Box] = []
    labels: list[int] = []
    for _ in range(random.randint(1, config.max_objects + 1)):
        row = random.randint(len(pool.labels))
        cover = enlarged(pool.images[row], random.randint(size * 3 // 16, size * 3 // 8 + 1))
        ink = random.randint(160, 256, 3)
        box = _free_place(cover, size, boxes, random)
        if box is not None:
            x1, y1, x2, y2 = box
            place = canvas[y1:y2, x1:x2]
            place += (ink - place) * cover[..., None] // FULL_COVER
            boxes.append(box)
            labels.append(int(pool.labels[row]))
    objects = Annotation(
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        labels=np.array(labels, dtype=np.int64),
        difficult=np.zeros(len(boxes), dtype=np.bool_),
    )
    return 255 - canvas if dark_ink else canvas, objects


def _background(size: int, random: np.random.RandomState) -> Integers:
    """A dark gradient from one colour to another, across or downwards, with noise."""
    start, stop = random.randint(NOISE, 112, (2, 3))
    steps = np.arange(size)[:, None]
    gradient = start + (stop - start) * steps // (size - 1)
    across = gradient[None] if random.randint(2) else gradient[:, None]
    return across + random.randint(-NOISE, NOISE + 1, (size, size, 1))


FULL_COVER = 1 << 12


def enlarged(digit: Integers, side: int) -> Integers:
    """How much ink covers each pixel, from 0 to `FULL_COVER`: an 8×8 digit, bilinearly, `side` pixels high.

    Rows and columns at the edges are cut off as long as none of their pixels is covered by a quarter, which
    leaves the digit's tight box.
    """
    # Twice `side` times the position of each pixel's centre among the 8 source pixels, clamped to the grid.
    position = np.clip((2 * np.arange(side) + 1) * 8 - side, 0, 7 * 2 * side)
    weights = np.maximum(2 * side - np.abs(position[:, None] - 2 * side * np.arange(8)), 0)
    cover = weights @ digit @ weights.T * FULL_COVER // (16 * (2 * side) ** 2)
    inked = cover * 4 >= FULL_COVER
    rows, columns = np.flatnonzero(inked.any(1)), np.flatnonzero(inked.any(0))
    return cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _free_place(cover: Integers, size: int, taken: list[Box], random: np.random.RandomState) -> Box | None:
    """A box for `cover` in the canvas that hardly overlaps the `taken` ones; None where none is found."""
    height, width = cover.shape
    for _ in range(MOST_TRIES):
        x, y = random.randint(size - width + 1), random.randint(size - height + 1)
        box = (x, y, x + width, y + height)
        if all(_overlap(box, other) <= MOST_OVERLAP for other in taken):
            return box
    return None


def _overlap(a: Box, b: Box) -> float:
    """Intersection over the smaller area."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(width, 0) * max(height, 0) / smaller


def _content_hash(*splits: ArrayScenes) -> str:
    digest = hashlib.sha256(
        json.dumps([CLASS_NAMES, [list(split.images.shape) for split in splits]]).encode()
    )
    for split in splits:
        digest.update(split.images.tobytes())
        hash_annotations(digest, split.annotations)
    return digest.hexdigest()
