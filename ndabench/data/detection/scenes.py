"""A detection data set as a detector sees it: scenes with boxes, in three splits that share no picture.

`source.py` defines the boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ndabench.data.detection.source import AnnotatedPictures, SceneConfig, SceneSource, objects_per_class
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
    )


class SourceScenes:
    """The pictures of a source's split, read at every access, as tensors."""

    def __init__(self, pictures: AnnotatedPictures) -> None:
        self.pictures = pictures
        self.objects = [
            Objects(*map(torch.from_numpy, (one.boxes, one.labels, one.difficult)))
            for one in pictures.annotations
        ]

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, row: int) -> Scene:
        return scene(torch.from_numpy(self.pictures.read(row)), self.objects[row])


def scene(image: Tensor, objects: Objects) -> Scene:
    """A picture, uint8 `[3, H, W]`, with its objects."""
    return Scene(image, objects.boxes, objects.labels, objects.difficult)


def _require_objects(name: str, source: SceneSource) -> None:
    splits = (("training", source.train), ("validation", source.validation), ("test", source.test))
    for split, pictures in splits:
        if not objects_per_class(pictures.annotations, len(source.class_names)).any():
            raise UserError(f"{name}: no {split} picture has an object that is not difficult")
