"""Pascal VOC (Everingham et al., IJCV 2010) in its official layout, VOCdevkit/VOC2007 and VOC2012.

    VOC<year>/ImageSets/Main/{trainval,test}.txt    the pictures of a split, one name a line
    VOC<year>/Annotations/<name>.xml                size, and per object class, box and `difficult`
    VOC<year>/JPEGImages/<name>.jpg

The published combinations train on trainval of 07, 12 or both (07+12) and test on 07's test; validation is
cut from the training pictures. Objects marked `difficult` are kept, with their mark.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from pydantic import Field, field_validator

from ndabench.config import Config
from ndabench.data.detection.sets import (
    DetectionData,
    Objects,
    Scene,
    hash_objects,
    objects_per_class,
    scene,
)
from ndabench.data.detection.voc_annotation import VOC_CLASSES, read_annotation
from ndabench.data.source import FilePictures, FullPath, read_pixels
from ndabench.data.splits import stratified_cut
from ndabench.errors import UserError, unknown

TEST_YEAR = 2007
"""The only year whose test annotations are public."""


class VocConfig(Config):
    """`path` is the folder VOCdevkit, or the one that holds it."""

    name: Literal["voc"] = "voc"
    path: FullPath
    years: tuple[Literal[2007, 2012], ...] = Field(default=(2007,), min_length=1)
    """Whose trainval pictures are trained on; the test is always that of 2007."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Only objects of these classes count, and each must occur in training and test; None: all 20."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    split_seed: int = Field(default=0, ge=0, lt=2**32)

    @field_validator("years")
    @classmethod
    def _each_year_once(cls, years: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(years)) < len(years):
            raise ValueError(f"names a year twice, got {list(years)}")
        return tuple(sorted(years))

    @field_validator("classes")
    @classmethod
    def _known_classes(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in classes or ():
            if name not in VOC_CLASSES:
                raise unknown("class", name, VOC_CLASSES)
        # In the order of the 20, so that a list's order makes no other data set.
        return classes and tuple(name for name in VOC_CLASSES if name in classes)

    @property
    def title(self) -> str:
        """How records and reports call the data set: voc07, voc12 or voc07+12."""
        return "voc" + "+".join(str(year)[2:] for year in self.years)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classes or VOC_CLASSES

    def load(self) -> DetectionData:
        """Reads and checks every annotation, and the header of every picture.

        Raises `UserError` for files that are missing or cannot be understood, for a box outside its picture
        and for a class of `classes` that a split lacks.
        """
        devkit = self._devkit()
        labels = {name: label for label, name in enumerate(self.class_names)}
        trained = [_read(file, labels) for year in self.years for file in _listed(devkit, year, "trainval")]
        tested = [_read(file, labels) for file in _listed(devkit, TEST_YEAR, "test")]
        for split, pictures in (("trainval", trained), ("test", tested)):
            self._require_classes(split, pictures)
        kept, cut = stratified_cut(
            np.zeros(len(trained), np.int64),
            self.validation_fraction,
            seed=self.split_seed,
            key="validation_fraction",
            class_names=("picture",),
        )
        parts = [[trained[row] for row in kept], [trained[row] for row in cut], tested]
        train, validation, test = (_scenes(part) for part in parts)
        return DetectionData(
            name=self.title,
            content_hash=_content_hash(self.class_names, parts),
            class_names=self.class_names,
            train=train,
            validation=validation,
            test=test,
        )

    def _devkit(self) -> Path:
        for folder in (self.path, self.path / "VOCdevkit"):
            if (folder / f"VOC{TEST_YEAR}").is_dir():
                return folder
        raise UserError(
            f"{self.path}: there is no VOC{TEST_YEAR} in it, nor in a VOCdevkit below it; path must be the "
            "folder VOCdevkit"
        )

    def _require_classes(self, split: str, pictures: Sequence["Annotated"]) -> None:
        """A class that the user asks for by name must be there to be learnt and measured."""
        if self.classes is None:
            return
        counts = objects_per_class((picture.objects for picture in pictures), len(self.classes))
        absent = [name for name, count in zip(self.classes, counts, strict=True) if not count]
        if absent:
            years = "+".join(map(str, self.years if split == "trainval" else (TEST_YEAR,)))
            raise UserError(
                f"{self.path}: no picture of VOC{years} {split} has a (not difficult) object of class "
                f"{absent[0]!r}; take it out of `classes`"
            )


class Files(NamedTuple):
    picture: Path
    annotation: Path


class Annotated(NamedTuple):
    """A picture that is known to be there, with what its annotation says."""

    picture: Path
    name: str
    """As in VOC2007/000005."""
    size_bytes: int
    objects: Objects


@dataclass(frozen=True)
class VocScenes:
    """Pictures decoded one at a time, at every access."""

    paths: Sequence[Path]
    objects: Sequence[Objects]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Scene:
        pictures = FilePictures(self.paths, labels=np.zeros(0, np.int64))
        pixels = read_pixels(pictures, row, image_size=None, channels=3)
        return scene(torch.from_numpy(pixels), self.objects[row])


def _scenes(pictures: Sequence[Annotated]) -> VocScenes:
    return VocScenes([one.picture for one in pictures], [one.objects for one in pictures])


def _listed(devkit: Path, year: int, split: str) -> list[Files]:
    """The files of a split's pictures, in its own order."""
    root = devkit / f"VOC{year}"
    listing = root / "ImageSets" / "Main" / f"{split}.txt"
    try:
        names = [line.split()[0] for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise UserError(f"{listing}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{listing}: not a text file with a picture's name a line") from None
    if not names:
        raise UserError(f"{listing}: lists no picture")
    return [Files(root / "JPEGImages" / f"{n}.jpg", root / "Annotations" / f"{n}.xml") for n in names]


def _read(files: Files, labels: Mapping[str, int]) -> Annotated:
    """Annotation and picture header; classes of VOC that `labels` does not name are left out."""
    objects, (width, height) = read_annotation(files.annotation, labels)
    try:
        with Image.open(files.picture) as image:  # reads the header only
            size = image.size
        size_bytes = files.picture.stat().st_size
    except UnidentifiedImageError:
        raise UserError(f"{files.picture}: not an image in a format that Pillow knows") from None
    except OSError as error:
        raise UserError(f"{files.picture}: cannot be read ({error.strerror or error})") from None
    if size != (width, height):
        raise UserError(
            f"{files.annotation}: is for a picture of {width}×{height}, but {files.picture.name} has "
            f"{size[0]}×{size[1]}"
        )
    name = f"{files.picture.parent.parent.name}/{files.picture.stem}"
    return Annotated(files.picture, name, size_bytes, objects)


def _content_hash(class_names: Sequence[str], parts: Sequence[Sequence[Annotated]]) -> str:
    """Of names, encoded sizes and annotations: the pictures' bytes would take minutes to read."""
    digest = hashlib.sha256(json.dumps(class_names).encode())
    for pictures in parts:
        digest.update(json.dumps([[one.name, one.size_bytes] for one in pictures]).encode())
        hash_objects(digest, (one.objects for one in pictures))
    return digest.hexdigest()
