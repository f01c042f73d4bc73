"""Pascal VOC (Everingham et al., IJCV 2010) in its official layout, VOCdevkit/VOC2007 and VOC2012.

    VOC<year>/ImageSets/Main/{trainval,test}.txt    the pictures of a split, one name a line
    VOC<year>/Annotations/<name>.xml                size, and per object class, box and `difficult`
    VOC<year>/JPEGImages/<name>.jpg

The published combinations train on trainval of 07, 12 or both (07+12) and test on 07's test; validation is
cut from the training pictures. Objects marked `difficult` are kept, with their mark. VOC's boxes count pixels
from 1 and include both ends; here they become (xmin − 1, ymin − 1, xmax, ymax).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator

from ndabench.data.config import FullPath
from ndabench.data.detection.annotated_files import (
    AnnotatedFiles,
    AnnotatedPicture,
    content_hash,
    read_header,
)
from ndabench.data.detection.source import Annotation, SceneConfig, SceneSource, objects_per_class
from ndabench.data.detection.voc_files import read_list, read_voc_xml
from ndabench.data.splits import stratified_cut
from ndabench.errors import UserError, unknown

TEST_YEAR = 2007
"""The only year whose test annotations are public."""
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)


class VocConfig(SceneConfig):
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
        # In the order of the 20, so that the order of a list does not change the data set.
        return classes and tuple(name for name in VOC_CLASSES if name in classes)

    @property
    def title(self) -> str:
        """What records and reports call the data set: voc07, voc12 or voc07+12."""
        return "voc" + "+".join(str(year)[2:] for year in self.years)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classes or VOC_CLASSES

    def open(self) -> SceneSource:
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
        train, validation, test = (AnnotatedFiles(part) for part in parts)
        return SceneSource(
            self.class_names,
            content_hash(self.class_names, parts),
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

    def _require_classes(self, split: str, pictures: Sequence[AnnotatedPicture]) -> None:
        """`UserError` for a class that the user asks for by name and that cannot be learned or measured."""
        if self.classes is None:
            return
        counts = objects_per_class((picture.annotation for picture in pictures), len(self.classes))
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


def _listed(devkit: Path, year: int, split: str) -> list[Files]:
    """The files of a split's pictures, in its own order."""
    root = devkit / f"VOC{year}"
    names = read_list(root / "ImageSets" / "Main" / f"{split}.txt")
    return [Files(root / "JPEGImages" / f"{n}.jpg", root / "Annotations" / f"{n}.xml") for n in names]


def _read(files: Files, labels: Mapping[str, int]) -> AnnotatedPicture:
    """A picture with its annotation, after a check of its header; only the classes in `labels` are kept."""
    annotation, (width, height) = read_annotation(files.annotation, labels)
    header = read_header(files.picture)
    if (header.width, header.height) != (width, height):
        raise UserError(
            f"{files.annotation}: is for a picture of {width}×{height}, but {files.picture.name} has "
            f"{header.width}×{header.height}"
        )
    name = f"{files.picture.parent.parent.name}/{files.picture.stem}"
    return AnnotatedPicture(files.picture, name, header.size_bytes, annotation)


def read_annotation(file: Path, labels: Mapping[str, int]) -> tuple[Annotation, tuple[int, int]]:
    """The objects of the classes in `labels`, and the picture's (width, height).

    Raises `UserError` naming the file, and the object if one is wrong, for other XML, a class that is none
    of the 20, and a box that is empty or outside the picture.
    """
    width, height, found = read_voc_xml(file)
    kept = []
    for number, (name, edges, difficult) in enumerate(found, start=1):
        if name not in VOC_CLASSES:
            raise UserError(
                f"{file}: object {number}: {unknown('class', name, VOC_CLASSES)}; classes of one's own are "
                "for the data set voc_folder"
            )
        box = _box(edges, width, height, f"{file}: object {number} ({name})")
        if name in labels:
            kept.append((box, labels[name], difficult))
    annotation = Annotation(
        boxes=np.array([box for box, _, _ in kept], dtype=np.float32).reshape(-1, 4),
        labels=np.array([label for _, label, _ in kept], dtype=np.int64),
        difficult=np.array([difficult for _, _, difficult in kept], dtype=np.bool_),
    )
    return annotation, (width, height)


def _box(edges: Sequence[float], width: int, height: int, where: str) -> tuple[float, float, float, float]:
    """VOC's edges as a box (x1, y1, x2, y2), checked against the picture.

    VOC 2012 has edges that are not whole numbers; those that overshoot by less than a pixel are cut off.
    """
    described = ", ".join(f"{edge:g}" for edge in edges)
    x1, y1, x2, y2 = edges[0] - 1, edges[1] - 1, edges[2], edges[3]
    if not (x1 > -1 and y1 > -1 and x2 < width + 1 and y2 < height + 1):  # so that NaN is refused, too
        raise UserError(f"{where}: its box ({described}) is outside the picture of {width}×{height}")
    x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    if not (x1 < x2 and y1 < y2):
        raise UserError(f"{where}: its box ({described}) is empty")
    return x1, y1, x2, y2
