"""The parts of a detection data set: a configuration that reads its annotations and finds its pictures.

A data set is one `SceneConfig` class. `scenes.py` checks what it gives and turns it into tensors.

Boxes are float32 `[n, 4]` as (x1, y1, x2, y2) in pixels, counted from 0 at the left and upper edge; x2 and y2
are exclusive: a box over the whole picture is (0, 0, W, H), and its area is W · H.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ndabench.data.config import DataSetConfig
from ndabench.data.source import Pixels
from ndabench.data.splits import Rows


@dataclass(frozen=True)
class Annotation:
    """The n annotated objects of one picture."""

    boxes: npt.NDArray[np.float32]
    """`[n, 4]`."""
    labels: Rows
    """int64 `[n]`, from 0 to the number of classes − 1."""
    difficult: npt.NDArray[np.bool_]
    """`[n]`: Pascal VOC neither rewards finding such an object nor punishes missing it."""
    crowd: npt.NDArray[np.bool_] | None = None
    """`[n]`: COCO's boxes around many objects, which nothing is trained on and which need not be found; None:
    there are none."""

    @property
    def counted_labels(self) -> Rows:
        """The labels of the objects that are neither difficult nor crowds."""
        return self.labels[~(self.difficult if self.crowd is None else self.difficult | self.crowd)]

    def __len__(self) -> int:
        return len(self.labels)


class AnnotatedPictures(Protocol):
    """The pictures of one split, in a fixed order, decoded one at a time."""

    @property
    def annotations(self) -> Sequence[Annotation]: ...

    def read(self, row: int) -> Pixels:
        """The picture at `row`, uint8 `[3, H, W]`; `UserError` naming the file that cannot be read."""
        ...


@dataclass(frozen=True)
class SceneSource:
    """An opened data set; validation is cut from the training pictures."""

    class_names: tuple[str, ...]
    content_hash: str
    """Hex digest of pictures, annotations, class names and the cut into splits; the same everywhere."""
    train: AnnotatedPictures
    validation: AnnotatedPictures
    test: AnnotatedPictures
    notes: tuple[str, ...] = ()
    """What a reader of the results should know about how the files were understood, a line each."""


class SceneConfig(DataSetConfig):
    """What every detection data set has."""

    @abstractmethod
    def open(self) -> SceneSource:
        """Opens the set and reads its annotations; `UserError` for what is missing or cannot be
        understood."""


@dataclass(frozen=True)
class ArrayScenes:
    """Decoded pictures of one size: uint8 `[N, 3, H, W]`."""

    images: Pixels
    annotations: Sequence[Annotation]

    def read(self, row: int) -> Pixels:
        pixels: Pixels = self.images[row]
        return pixels


class Counted(Protocol):
    """The objects of one picture, as arrays or tensors."""

    @property
    def counted_labels(self) -> Rows: ...


def objects_per_class(annotations: Iterable[Counted], num_classes: int) -> Rows:
    """int64 `[num_classes]`: how often each class occurs, without `difficult` objects and crowds."""
    labels = [one.counted_labels for one in annotations]
    return np.bincount(np.concatenate([np.zeros(0, np.int64), *labels]), minlength=num_classes)


def hash_annotations(digest: "hashlib._Hash", annotations: Iterable[Annotation]) -> None:
    """Feeds a split's annotations to `digest`, the same bytes on machines of either byte order."""
    for one in annotations:
        digest.update(len(one).to_bytes(8, "little"))
        digest.update(one.boxes.astype("<f4").tobytes())
        digest.update(one.labels.astype("<i8").tobytes())
        digest.update(one.difficult.astype("u1").tobytes())
        if one.crowd is not None:
            digest.update(one.crowd.astype("u1").tobytes())
