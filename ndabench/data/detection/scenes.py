"""A detection data set as a detector sees it: scenes with boxes, in three splits that share no picture.

`source.py` defines the boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ndabench.data.detection.source import AnnotatedPictures, SceneConfig, SceneSource, objects_per_class
from ndabench.data.splits import Rows
from ndabench.errors import UserError


@dataclass(frozen=True)
class Objects:
    """The n annotated objects of one picture."""

    boxes: Tensor
    """float32 `[n, 4]`."""
    labels: Tensor
    """int64 `[n]`, from 0 to the number of classes − 1."""
    difficult: Tensor
    """bool `[n]`: Pascal VOC neither rewards finding such an object nor punishes missing it."""
    crowd: Tensor | None = None
    """bool `[n]`: COCO's boxes around many objects; None: there are none."""

    @property
    def counted_labels(self) -> Rows:
        """The labels of the objects that are neither difficult nor crowds."""
        passed = self.difficult if self.crowd is None else self.difficult | self.crowd
        return self.labels[~passed].numpy()

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Scene:
    """One picture with its single objects, without crowds."""

    image: Tensor
    """uint8 `[3, H, W]`."""
    boxes: Tensor
    labels: Tensor
    difficult: Tensor


class SceneSplit(Protocol):
    """One split; annotations are in memory, pictures may be decoded at every access."""

    @property
    def objects(self) -> Sequence[Objects]:
        """The objects of every picture, without reading the pictures."""
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
    notes: tuple[str, ...] = ()
    """What a reader of the results should know about how the files were understood, a line each."""


def load_detection(config: SceneConfig, *, device: torch.device) -> DetectionData:
    """The data set with its annotations read and checked, in host memory: a detector moves each scene to its
    device when it uses it, so `device` is not used.

    Raises `UserError` for what is missing or wrong, and for a split without an object to learn or to find.
    """
    source = config.open()
    _require_objects(config.title, source)
    return DetectionData(
        name=config.title,
        content_hash=source.content_hash,
        class_names=source.class_names,
        train=SourceScenes(source.train),
        validation=SourceScenes(source.validation),
        test=SourceScenes(source.test),
        notes=source.notes,
    )


class SourceScenes:
    """The pictures of a source's split, read at every access, as tensors."""

    def __init__(self, pictures: AnnotatedPictures) -> None:
        self.pictures = pictures
        self.objects = [
            Objects(
                torch.from_numpy(one.boxes),
                torch.from_numpy(one.labels),
                torch.from_numpy(one.difficult),
                None if one.crowd is None else torch.from_numpy(one.crowd),
            )
            for one in pictures.annotations
        ]

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, row: int) -> Scene:
        return scene(torch.from_numpy(self.pictures.read(row)), self.objects[row])


def scene(image: Tensor, objects: Objects) -> Scene:
    """A picture, uint8 `[3, H, W]`, with its objects."""
    if objects.crowd is None:
        return Scene(image, objects.boxes, objects.labels, objects.difficult)
    single = ~objects.crowd
    return Scene(image, objects.boxes[single], objects.labels[single], objects.difficult[single])


def object_counts(data: DetectionData) -> str:
    """One line: the pictures of each split, and how many objects of each class they hold.

    Difficult objects and crowds are counted apart.
    """
    splits = [data.train, data.validation, data.test]
    of_class = np.stack([objects_per_class(split.objects, len(data.class_names)) for split in splits], 1)
    classes = ", ".join(
        f"{name} {'+'.join(map(str, counts))}"
        for name, counts in zip(data.class_names, of_class.tolist(), strict=True)
    )
    every = [one for split in splits for one in split.objects]
    apart = {
        "difficult": sum(int(one.difficult.sum()) for one in every),
        "crowds": sum(int(one.crowd.sum()) for one in every if one.crowd is not None),
        "pictures without an object": sum(not len(one) for one in every),
    }
    others = "".join(f"; {what}: {count}" for what, count in apart.items() if count)
    pictures = "+".join(str(len(split)) for split in splits)
    return f"{data.name}: training+validation+test: {pictures} pictures; objects: {classes}{others}"


def _require_objects(name: str, source: SceneSource) -> None:
    splits = (("training", source.train), ("validation", source.validation), ("test", source.test))
    for split, pictures in splits:
        if not objects_per_class(pictures.annotations, len(source.class_names)).any():
            raise UserError(f"{name}: no {split} picture has an object that is not difficult")
