"""What detection sees of a data set: scenes with boxes, in three splits that share no picture.

Boxes are float32 `[n, 4]` as (x1, y1, x2, y2) in pixels, from 0 at the left and upper edge, x2 and y2
exclusive: a box over the whole picture is (0, 0, W, H), and its area is plainly W · H.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from ndabench.errors import UserError


@dataclass(frozen=True)
class Objects:
    """The n annotated objects of one picture."""

    boxes: Tensor
    """float32 `[n, 4]`."""
    labels: Tensor
    """int64 `[n]`, from 0 to the number of classes − 1."""
    difficult: Tensor
    """bool `[n]`: what Pascal VOC neither rewards for being found nor punishes for being missed."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Scene:
    """One picture with its objects."""

    image: Tensor
    """uint8 `[3, H, W]`."""
    boxes: Tensor
    labels: Tensor
    difficult: Tensor


class SceneSplit(Protocol):
    """One split; pictures may be decoded anew at every access, annotations lie in memory."""

    @property
    def objects(self) -> Sequence[Objects]:
        """Those of every picture, without touching the pictures."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Scene:
        """`UserError` naming the file where the picture cannot be read."""
        ...


@dataclass(frozen=True)
class DetectionData:
    """A data set ready for a detector. Validation is cut from the training pictures."""

    name: str
    content_hash: str
    """Hex digest of pictures, annotations, class names and the cut into splits; the same everywhere."""
    class_names: tuple[str, ...]
    train: SceneSplit
    validation: SceneSplit
    test: SceneSplit


@dataclass(frozen=True)
class ResidentScenes:
    """Pictures of one size that lie decoded in memory: uint8 `[N, 3, H, W]`."""

    images: Tensor
    objects: Sequence[Objects]

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, row: int) -> Scene:
        return scene(self.images[row], self.objects[row])


@dataclass(frozen=True)
class JoinedScenes:
    """Two splits as one, as for a last training on training and validation pictures together."""

    first: SceneSplit
    second: SceneSplit

    @property
    def objects(self) -> Sequence[Objects]:
        return [*self.first.objects, *self.second.objects]

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, row: int) -> Scene:
        return self.first[row] if row < len(self.first) else self.second[row - len(self.first)]


def scene(image: Tensor, objects: Objects) -> Scene:
    return Scene(image, objects.boxes, objects.labels, objects.difficult)


def objects_per_class(split: Iterable[Objects], num_classes: int) -> np.ndarray:
    """int64 `[num_classes]`: how often each class occurs in a split, `difficult` objects not counted."""
    labels = [objects.labels[~objects.difficult].numpy() for objects in split]
    return np.bincount(np.concatenate([np.zeros(0, np.int64), *labels]), minlength=num_classes)


def require_objects(data: DetectionData) -> None:
    """`UserError` for a split that has nothing to be learnt or found."""
    for name, split in (("training", data.train), ("validation", data.validation), ("test", data.test)):
        if not objects_per_class(split.objects, len(data.class_names)).any():
            raise UserError(f"{data.name}: no {name} picture has an object that is not difficult")


def hash_objects(digest: "hashlib._Hash", objects: Iterable[Objects]) -> None:
    """Feeds a split's annotations to `digest`, alike on machines of either byte order."""
    for one in objects:
        digest.update(len(one).to_bytes(8, "little"))
        digest.update(one.boxes.numpy().astype("<f4").tobytes())
        digest.update(one.labels.numpy().astype("<i8").tobytes())
        digest.update(one.difficult.numpy().astype("u1").tobytes())
